//! State: what is so now, as ordered keys and values. Written in the background and rebuilt from the journal when it
//! is lost, so that nothing that is acknowledged depends on it.

mod fjall;
mod groups;
mod memory;
#[cfg(test)]
mod redb;
#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::ControlFlow;
use std::io;

pub use self::fjall::FjallStates;
pub use memory::MemoryStates;

/// A change of one key: its value from now on, or none.
pub type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// Called for each key and value; says whether to go on.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Ordered keys and values. Used by one thread.
pub trait State: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// The state cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Visits keys from `from` on to the one before `to`, in order.
    ///
    /// # Errors
    /// The state cannot be read. Some keys may have been visited.
    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError>;

    /// Makes all changes, or none.
    ///
    /// # Errors
    /// The state cannot be written. It is to be opened anew.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError>;

    /// Makes every commit so far last.
    ///
    /// # Errors
    /// The state cannot be written. It is to be opened anew.
    fn sync(&mut self) -> Result<(), StateError>;

    /// Gives back room that replaced and removed values take. May take as long as reading everything.
    ///
    /// # Errors
    /// The state cannot be written. It is to be opened anew.
    fn compact(&mut self) -> Result<(), StateError> {
        Ok(())
    }
}

/// Where a state is.
pub trait States: Send {
    /// Opens the state, a new one if there is none.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn open(&self) -> Result<Box<dyn State>, StateError>;

    /// Moves the state out of the way, so that opening makes a new one. Returns where it is now.
    ///
    /// # Errors
    /// What the disk says.
    fn set_aside(&self) -> io::Result<String>;
}

/// Why a state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(pub String);

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for StateError {}

/// Holds nothing: stands where a state was that had to be closed.
pub(crate) struct Nothing;

impl State for Nothing {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn scan(&self, _: &[u8], _: &[u8], _: Visit<'_>) -> Result<(), StateError> {
        Ok(())
    }

    fn commit(&mut self, _: Vec<Change>) -> Result<(), StateError> {
        Err(StateError("the state is closed".to_owned()))
    }

    fn sync(&mut self) -> Result<(), StateError> {
        Err(StateError("the state is closed".to_owned()))
    }
}
