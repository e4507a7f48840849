//! References to sessions that are safe to keep after the session is gone.

/// One of the workers of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// Where a session lives: the worker that owns it, its slot there, and the generation of the slot, so that a reference
/// to a session that has ended finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    /// The owner.
    pub worker: WorkerId,
    /// The slot in the owner's [`crate::SessionTable`].
    pub slot: u32,
    /// Which of the sessions that have used the slot.
    pub generation: u32,
}
