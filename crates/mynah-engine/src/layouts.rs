//! The registry of layouts, and the frames of one fan-out: a message is encoded once for each layout and kind.

use std::sync::Arc;

use mynah_model::{Instant, Layout, MessageView, Properties};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use crate::item::Item;

/// The layout of messages that the broker itself makes: topic, then payload.
pub(crate) const PLAIN: Layout = Layout { id: 0, version: 0 };

/// Every codec that was registered, found by layout identifier.
pub(crate) struct Layouts {
    codecs: Vec<(u8, Arc<dyn LayoutCodec>)>,
}

impl Layouts {
    pub(crate) fn new(codecs: impl IntoIterator<Item = Arc<dyn LayoutCodec>>) -> Self {
        let mut layouts = Self { codecs: Vec::new() };
        for codec in codecs {
            for layout in codec.layouts() {
                if layouts.codec(*layout).is_none() {
                    layouts.codecs.push((layout.id, Arc::clone(&codec)));
                }
            }
        }
        // Last: nobody publishes in it but the broker, and nobody receives in it.
        layouts.codecs.push((PLAIN.id, Arc::new(PlainCodec)));
        layouts
    }

    fn codec(&self, layout: Layout) -> Option<&dyn LayoutCodec> {
        self.codecs.iter().find(|(id, _)| *id == layout.id).map(|(_, codec)| &**codec)
    }

    /// The properties of a message, read by the codec of its layout, with what remains of its time at `now`.
    pub(crate) fn properties<'m>(&self, message: MessageView<'m>, now: Instant) -> Properties<'m> {
        Properties { remaining: message.header.remaining(now), ..self.read(message) }
    }

    /// The same without what remains of its time.
    pub(crate) fn read<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        let codec = self.codec(message.header.layout);
        codec.map_or(Properties::EMPTY, |codec| codec.properties(message))
    }
}

struct PlainCodec;

impl LayoutCodec for PlainCodec {
    fn layouts(&self) -> &[Layout] {
        &[PLAIN]
    }

    fn properties<'m>(&self, _: MessageView<'m>) -> Properties<'m> {
        Properties::default()
    }

    fn encode(&self, _: MessageView<'_>, _: &Properties<'_>, _: Layout, _: FrameKind, _: &mut Frame) -> bool {
        false // nobody receives in this layout
    }
}

/// The encodings of one message, made when the first receiver needs them. Their memory is used again for the next.
#[derive(Default)]
pub(crate) struct Frames {
    made: Vec<Made>,
    /// How many of `made` belong to the present message.
    count: usize,
}

struct Made {
    layout: Layout,
    kind: FrameKind,
    spelled: bool,
    frame: Frame,
}

impl Frames {
    /// Forgets the encodings of the message before.
    pub(crate) fn begin(&mut self) {
        for made in &mut self.made[..self.count] {
            made.frame.clear();
        }
        self.count = 0;
    }

    /// The encoding for receivers of `layout`; none if the layout cannot spell the message.
    #[inline(always)]
    pub(crate) fn frame(
        &mut self,
        layouts: &Layouts,
        now: Instant,
        item: &mut Item<'_>,
        layout: Layout,
        kind: FrameKind,
    ) -> Option<&Frame> {
        let known = self.made[..self.count].iter().position(|m| m.layout == layout && m.kind == kind);
        let place = known.unwrap_or_else(|| self.make(layouts, now, item, layout, kind));
        let made = &self.made[place];
        made.spelled.then_some(&made.frame)
    }

    #[inline(never)]
    fn make(
        &mut self,
        layouts: &Layouts,
        now: Instant,
        item: &mut Item<'_>,
        layout: Layout,
        kind: FrameKind,
    ) -> usize {
        let place = self.count;
        if place == self.made.len() {
            self.made.push(Made { layout, kind, spelled: false, frame: Frame::default() });
        }
        self.count += 1;
        let made = &mut self.made[place];
        (made.layout, made.kind) = (layout, kind);
        let view = item.view();
        let read;
        let properties = if view.header.layout == layout && view.header.deadline.is_none() {
            &Properties::EMPTY // the native bytes say all, and reading them has its price
        } else {
            read = layouts.properties(view, now);
            &read
        };
        made.spelled =
            layouts.codec(layout).is_some_and(|c| c.encode(view, properties, layout, kind, &mut made.frame));
        if made.spelled && made.frame.wants_message() {
            made.frame.attach(item.message());
        }
        place
    }
}
