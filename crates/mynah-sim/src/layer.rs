//! Layers: decorators around a protocol that look at, or change, what passes between connections and their engine.

use std::sync::Arc;

use mynah_model::{Instant, Layout};
use mynah_stack::{Connection, Delivery, LayoutCodec, Outbound, Outcome, Protocol, Step};

/// What a layer does for one connection; what it does not care for passes.
pub(crate) trait Layer: Send {
    fn step<'b>(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b>;

    fn deliver(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        delivery: Delivery<'_>,
        out: &mut Outbound,
    ) -> bool;

    fn handle_outcome(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        outcome: Outcome<'_>,
        out: &mut Outbound,
    );
}

/// A protocol with a layer around each of its connections, which `make` makes.
pub(crate) struct Layered<F> {
    inner: Arc<dyn Protocol>,
    make: F,
}

impl<L: Layer + 'static, F: Fn() -> L + Send + Sync> Layered<F> {
    pub(crate) fn new(inner: Arc<dyn Protocol>, make: F) -> Self {
        Self { inner, make }
    }
}

impl<L: Layer + 'static, F: Fn() -> L + Send + Sync> Protocol for Layered<F> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(LayeredConnection { inner: self.inner.accept(now), layer: (self.make)() })
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        self.inner.codec()
    }
}

struct LayeredConnection<L> {
    inner: Box<dyn Connection>,
    layer: L,
}

impl<L: Layer> Connection for LayeredConnection<L> {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        self.layer.step(&mut *self.inner, now, input, out)
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        self.layer.deliver(&mut *self.inner, now, delivery, out)
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        self.layer.handle_outcome(&mut *self.inner, now, outcome, out);
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_timeout(now, out);
    }

    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_shutdown(now, out);
    }

    fn awaits_room(&self) -> bool {
        self.inner.awaits_room()
    }

    fn handle_room(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_room(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn input_bytes_max(&self) -> usize {
        self.inner.input_bytes_max()
    }
}
