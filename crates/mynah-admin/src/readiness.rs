//! Whether the broker takes traffic, as load balancers ask for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the program sets when its listeners are open and takes back when it stops. Cheap to clone; all clones
/// are one flag. At first it is not ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether the broker takes traffic.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether the broker takes traffic.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for listeners that only look at it.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
