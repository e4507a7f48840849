//! What the tests with programs of others stand on: a broker as a child process on ports that the system chose, and
//! other programs as child processes whose words can be waited for. Waiting is always bounded. What a test cannot set
//! up is its failure: everything here panics with what was wrong and what to do.

mod binary;
mod broker;
mod certificates;
mod folder;
mod process;

pub use binary::example;
pub use broker::{Broker, Setup};
pub use certificates::Certificates;
pub use folder::Folder;
pub use process::{Finished, PATIENCE, Process, line_buffered};
