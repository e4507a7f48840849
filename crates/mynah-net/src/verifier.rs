//! Verifying passwords beside the workers: it takes tens of milliseconds on purpose.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mynah_model::{Identity, Reason};

use crate::mailbox::{Letter, Verification};

/// Verifications that may wait; a peer that comes when so many do is told that the server is busy.
const WAITING_MAX: usize = 1_024;

/// Finds out whether credentials are good. May take its time; called on threads that have nothing else to do.
pub trait Verify: Send + Sync {
    /// The identity of the user, if `password` is the user's.
    ///
    /// # Errors
    /// Why the user is not let in. An unknown user and a wrong password cannot be told apart.
    fn verify(&self, user: &str, password: &[u8]) -> Result<Identity, Reason>;
}

/// Starts `threads` threads that verify what is sent to them until the sender is gone.
pub(crate) fn start(
    verify: &Arc<dyn Verify>,
    threads: usize,
) -> io::Result<(SyncSender<Verification>, Vec<JoinHandle<()>>)> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    let spawn = |number| {
        let (verify, receiver) = (Arc::clone(verify), Arc::clone(&receiver));
        let builder = std::thread::Builder::new().name(format!("mynah-verify-{number}"));
        builder.spawn(move || work(&*verify, &receiver))
    };
    let handles = (0..threads).map(spawn).collect::<io::Result<_>>()?;
    Ok((sender, handles))
}

fn work(verify: &dyn Verify, receiver: &Mutex<Receiver<Verification>>) {
    loop {
        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Verification { connection, credentials, reply_to }) = received else { return };
        let password = credentials.password.as_deref().unwrap_or_default();
        let result = verify.verify(&credentials.user, password);
        reply_to.post(Letter::Authenticated { connection, result });
    }
}
