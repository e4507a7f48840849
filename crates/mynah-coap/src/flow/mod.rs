//! Side machines of an association, cut as the specifications cut: deduplication and transmission (RFC 7252, section 4),
//! observing (RFC 7641), bodies in blocks (RFC 7959).

mod deduplication;
mod download;
mod observe;
mod pieces;
mod random;
mod transmission;
mod upload;

pub(crate) use deduplication::{Deduplication, Seen};
pub(crate) use download::{Content, Download, Downloads};
pub(crate) use observe::{Kept, Mode, Observation, Observations};
pub(crate) use pieces::Pieces;
pub(crate) use random::Random;
pub(crate) use transmission::{Due, Purpose, Transmissions};
pub(crate) use upload::{Received, Uploads};
