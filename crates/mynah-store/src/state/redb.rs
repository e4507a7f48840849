//! A state on redb: shows that the trait asks for nothing that only one store has.

use core::ops::ControlFlow;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError};

use super::{Change, State, StateError, States, Visit};

const LIVE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("live");

pub(crate) struct RedbStates(pub(crate) PathBuf);

impl RedbStates {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.join("state.redb"))
    }
}

impl States for RedbStates {
    fn open(&self) -> Result<Box<dyn State>, StateError> {
        let database = Database::create(&self.0).map_err(error)?;
        Ok(Box::new(RedbState(database)))
    }

    fn set_aside(&self) -> io::Result<String> {
        let aside = self.0.with_extension("damaged");
        std::fs::rename(&self.0, &aside)?;
        Ok(aside.display().to_string())
    }
}

struct RedbState(Database);

fn error(error: impl core::fmt::Display) -> StateError {
    StateError(error.to_string())
}

impl State for RedbState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let read = self.0.begin_read().map_err(error)?;
        match read.open_table(LIVE) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            table => {
                let value = table.map_err(error)?.get(key).map_err(error)?;
                Ok(value.map(|value| value.value().to_vec()))
            }
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        let read = self.0.begin_read().map_err(error)?;
        let table = match read.open_table(LIVE) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table.map_err(error)?,
        };
        for pair in table.range(from..to).map_err(error)? {
            let (key, value) = pair.map_err(error)?;
            if let ControlFlow::Break(()) = visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        let mut write = self.0.begin_write().map_err(error)?;
        write.set_durability(Durability::None).map_err(error)?;
        {
            let mut table = write.open_table(LIVE).map_err(error)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(table.insert(&key[..], &value[..]).map_err(error)?),
                    None => drop(table.remove(&key[..]).map_err(error)?),
                }
            }
        }
        write.commit().map_err(error)
    }

    fn sync(&mut self) -> Result<(), StateError> {
        let write = self.0.begin_write().map_err(error)?;
        write.commit().map_err(error)
    }
}
