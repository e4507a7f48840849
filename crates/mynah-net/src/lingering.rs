//! Sockets that the broker has ended and whose peers may still be sending. A socket that is
//! closed with unread input resets its connection, and the peer loses what it was told last. So the broker's direction
//! is ended first, and what still comes is thrown away until the peer ends too: for a bounded time, up to a bounded
//! amount, of a bounded number.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::{Interest, Registry, Token};
use mynah_model::Instant;

use crate::stream::Stream;

/// How long a peer may go on sending.
const LINGER: Duration = Duration::from_secs(2);
/// The same when the broker stops, which must not wait for peers that are silent.
const LINGER_AT_STOP: Duration = Duration::from_millis(250);
/// What is thrown away of one peer, in bytes.
const DISCARDED_MAX: usize = 256 << 10;
/// Sockets of a worker that linger: for one more, the oldest is closed.
pub(crate) const LINGERING_MAX: usize = 1_024;

/// A worker's lingering sockets, the oldest first.
pub(crate) struct Lingering {
    /// The first of the range of tokens, one for each.
    first_token: usize,
    /// How many were let go in front of those that are here.
    gone: usize,
    /// None: the peer has ended before those in front of it.
    sockets: VecDeque<Option<Leaving>>,
    time: Duration,
}

struct Leaving {
    stream: Stream,
    deadline: Instant,
    /// What may still be thrown away.
    left: usize,
}

impl Lingering {
    pub(crate) const fn new(first_token: usize) -> Self {
        Self { first_token, gone: 0, sockets: VecDeque::new(), time: LINGER }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// When [`Lingering::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.sockets.front()?.as_ref().map(|leaving| leaving.deadline)
    }

    /// Ends the broker's direction of a socket that is not watched, and keeps it if the peer may still send.
    pub(crate) fn take_in(&mut self, now: Instant, stream: Stream, registry: &Registry, scratch: &mut [u8]) {
        let mut leaving = Leaving { stream, deadline: now + self.time, left: DISCARDED_MAX };
        if leaving.stream.end().is_err() || leaving.has_ended(scratch) {
            return;
        }
        if self.sockets.len() == LINGERING_MAX {
            self.let_go_first();
            self.let_go_while(Option::is_none);
        }
        let place = (self.gone + self.sockets.len()) % LINGERING_MAX;
        let token = Token(self.first_token + place);
        if registry.register(leaving.stream.source(), token, Interest::READABLE).is_ok() {
            self.sockets.push_back(Some(leaving));
        }
    }

    /// Reads what came for the token `first_token + place`.
    pub(crate) fn discard(&mut self, place: usize, scratch: &mut [u8]) {
        let at = (place + LINGERING_MAX - self.gone % LINGERING_MAX) % LINGERING_MAX;
        if let Some(slot) = self.sockets.get_mut(at)
            && slot.as_mut().is_some_and(|leaving| leaving.has_ended(scratch))
        {
            *slot = None;
            self.let_go_while(Option::is_none);
        }
    }

    /// Closes those that had their time.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.let_go_while(|slot| slot.as_ref().is_none_or(|leaving| leaving.deadline <= now));
    }

    /// Leaves little time from now on: the broker stops.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.time = LINGER_AT_STOP;
        for leaving in self.sockets.iter_mut().flatten() {
            leaving.deadline = leaving.deadline.min(now + LINGER_AT_STOP);
        }
    }

    fn let_go_while(&mut self, condition: impl Fn(&Option<Leaving>) -> bool) {
        while self.sockets.front().is_some_and(&condition) {
            self.let_go_first();
        }
    }

    /// Closing takes a socket out of the epoll, too.
    fn let_go_first(&mut self) {
        self.sockets.pop_front();
        self.gone = self.gone.wrapping_add(1);
    }
}

impl Leaving {
    /// Throws away what has come; true if no more is to be read.
    fn has_ended(&mut self, scratch: &mut [u8]) -> bool {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return true,
                Ok(count) if count >= self.left => return true,
                Ok(count) => self.left -= count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    use mio::{Events, Poll};

    use super::*;

    struct Stage {
        poll: Poll,
        lingering: Lingering,
        scratch: Vec<u8>,
    }

    impl Stage {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            Self { poll, lingering: Lingering::new(7), scratch: vec![0; 10_000] }
        }

        /// A socket that the broker ends; this is its peer.
        fn ended(&mut self, now: Instant) -> UnixStream {
            let (near, far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let near = Stream::Unix(mio::net::UnixStream::from_std(near));
            self.lingering.take_in(now, near, self.poll.registry(), &mut self.scratch);
            far
        }

        /// Takes in what the peers have done.
        fn turn(&mut self) {
            let mut events = Events::with_capacity(LINGERING_MAX);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            for event in &events {
                self.lingering.discard(event.token().0 - 7, &mut self.scratch);
            }
        }
    }

    fn is_closed(peer: &mut UnixStream) -> bool {
        matches!(peer.write_all(b"?"), Err(error) if error.kind() == ErrorKind::BrokenPipe)
    }

    #[test]
    fn a_peer_that_sends_on_hears_of_the_end_and_is_not_reset() {
        let mut stage = Stage::new();
        let mut peer = stage.ended(Instant::ZERO);
        for _ in 0..20 {
            peer.write_all(&[1; 10_000]).unwrap();
            stage.turn();
        }
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        drop(peer);
        stage.turn();
        assert!(stage.lingering.is_empty());
    }

    #[test]
    fn the_time_and_the_amount_are_bounded() {
        let mut stage = Stage::new();
        let mut silent = stage.ended(Instant::ZERO);
        assert_eq!(stage.lingering.deadline(), Some(Instant::ZERO + LINGER));
        stage.lingering.expire(Instant::ZERO + LINGER - Duration::from_millis(1));
        assert!(!is_closed(&mut silent));
        let mut fast = stage.ended(Instant::ZERO + Duration::from_secs(1));
        let mut sent = 0;
        while fast.write_all(&[1; 4_096]).is_ok() {
            stage.turn();
            sent += 4_096;
        }
        assert_eq!(sent, DISCARDED_MAX);
        stage.lingering.expire(Instant::ZERO + LINGER);
        assert!(is_closed(&mut silent) && stage.lingering.is_empty());
    }

    #[test]
    fn for_one_socket_too_many_the_oldest_is_closed() {
        let mut stage = Stage::new();
        let mut peers: Vec<_> = (0..LINGERING_MAX).map(|_| stage.ended(Instant::ZERO)).collect();
        // The second one ends: its place is taken again only when those in front of it have gone.
        drop(peers.remove(1));
        stage.turn();
        assert!(!is_closed(&mut peers[0]));
        for _ in 0..3 {
            peers.push(stage.ended(Instant::ZERO));
        }
        let closed: Vec<_> = peers.iter_mut().map(is_closed).collect();
        assert_eq!(closed.iter().filter(|closed| **closed).count(), 2);
        assert!(closed[0] && closed[1]);
        // The tokens go round, and each still finds its socket.
        peers.drain(..).skip(2).for_each(drop);
        stage.turn();
        assert!(stage.lingering.is_empty());
    }

    #[test]
    fn a_broker_that_stops_leaves_little_time() {
        let mut stage = Stage::new();
        let _first = stage.ended(Instant::ZERO);
        stage.lingering.hurry(Instant::ZERO);
        let _second = stage.ended(Instant::ZERO);
        assert_eq!(stage.lingering.deadline(), Some(Instant::ZERO + LINGER_AT_STOP));
        stage.lingering.expire(Instant::ZERO + LINGER_AT_STOP);
        assert!(stage.lingering.is_empty());
    }

    #[test]
    fn a_peer_that_has_ended_is_not_kept() {
        let mut stage = Stage::new();
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let near = Stream::Unix(mio::net::UnixStream::from_std(near));
        stage.lingering.take_in(Instant::ZERO, near, stage.poll.registry(), &mut stage.scratch);
        assert!(stage.lingering.is_empty());
    }
}
