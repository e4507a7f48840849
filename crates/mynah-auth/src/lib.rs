//! Who a peer is: users and their file, the mechanisms of SASL, and the [`Authenticator`] that listeners ask.
//!
//! * `credential`: what is kept of passwords and keys. `users`: the file, and accounts in memory.
//! * [`sasl`]: mechanisms as data in and out, server and client. `throttle`: who has to wait.
//! * `authenticator`: every login goes through it. `peer`: what is known of who logs in.
//! * [`jwt`]: tokens, pure. [`remote`]: others that are asked, as futures.
//!
//! What is asked here may block, on a hash that is slow by design or on a file, and is therefore asked on threads that
//! serve no connection; what may be asked elsewhere says so.

mod authenticator;
mod credential;
mod grant;
pub mod jwt;
mod peer;
pub mod remote;
pub mod sasl;
mod slots;
mod throttle;
mod users;

pub use authenticator::{Authenticator, LoginEvent, Refusal, VerifyToken};
pub use credential::{
    HashError, HashedPassword, ITERATIONS, ITERATIONS_MIN, ImportedHash, PASSWORD_BYTES_MAX, PhcError,
    PreSharedKey, ScramHash, ScramVerifier,
};
pub use grant::{GROUPS_MAX, Grant, NAME_BYTES_MAX, TokenRights};
pub use peer::{Certificate, Channel, Door, IdentityFrom, Login, Peer};
pub use throttle::ThrottleSettings;
pub use users::{
    DEFAULT_TENANT, FileError, LineError, PasswordForms, Standing, Tenants, User, Users, UsersFile, Warning,
    check_word, fingerprint,
};
