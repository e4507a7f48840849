//! Who a peer is: passwords and their file, the mechanism of SASL that carries them, and the question that the network
//! layer asks.
//!
//! Everything here may block, on a hash that is slow by design or on a file, and is therefore called on threads that
//! serve no connection.

mod file;
mod grant;
pub mod jwt;
mod password;
mod plain;
pub mod remote;
mod users;

pub use file::{FileError, LineError, PasswordFile, Warning};
pub use grant::{GROUPS_MAX, Grant, NAME_BYTES_MAX, TokenRights};
pub use password::{HashError, HashedPassword, PASSWORD_BYTES_MAX, PhcError};
pub use plain::PlainMessage;
pub use users::Users;
