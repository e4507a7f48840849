//! What comes in from a peer: its stack cuts it into commands, and these are carried out.

use mynah_model::{Instant, Reason};
use mynah_stack::{Close, Command, Step};

use crate::connections::{ConnectionId, Phase, Proving};
use crate::engine::Engine;

/// What the I/O layer may hand over at once, beyond what a stack has to see at once.
const INPUT_SLACK_BYTES: usize = 256 << 10;

impl Engine {
    /// Takes in bytes from a peer. What is not a whole unit yet is kept.
    pub fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        self.shared.counters(self.worker).bytes_received.add(bytes.len() as u64);
        if connection.is_closing() {
            return;
        }
        self.refused = None;
        let mut kept = core::mem::take(&mut connection.inbound);
        if kept.is_empty() {
            let mut input = bytes;
            self.run(now, id, &mut input);
            self.keep(now, id, kept, input);
        } else {
            kept.extend_from_slice(bytes);
            self.run_kept(now, id, kept);
        }
        self.arm(now, id.slot);
    }

    /// Whether the connection can take more bytes at the moment. It cannot while its peer does not read the answers,
    /// or while it waits to be let in.
    #[must_use]
    pub fn wants_bytes(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.lane.connections.get(id) else { return false };
        let waits = match connection.phase {
            Phase::New => false,
            Phase::Open(_) => connection.is_held_back() || !connection.stack.wants_input(),
            // A peer that was challenged is about to say more.
            Phase::Opening(_) => !connection.inbound.is_empty() && connection.proving != Proving::Challenged,
            Phase::Leaving(_) | Phase::Detached | Phase::Closing(_) => true,
        };
        let outbound_max = 2 * self.shared.limits.outbound_bytes_max;
        !waits && connection.outbound.len() < outbound_max
    }

    /// Goes on with bytes that were kept because the connection could not take them.
    pub fn resume_input(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let kept = core::mem::take(&mut connection.inbound);
        self.run_kept(now, id, kept);
        self.arm(now, id.slot);
    }

    pub(crate) fn run_kept(&mut self, now: Instant, id: ConnectionId, mut kept: Vec<u8>) {
        let mut input = &kept[..];
        self.run(now, id, &mut input);
        let consumed = kept.len() - input.len();
        if consumed == kept.len() {
            kept.clear();
        } else {
            kept.drain(..consumed);
        }
        self.keep(now, id, kept, &[]);
    }

    /// Keeps the bytes that were not consumed, in the memory of `kept`.
    fn keep(&mut self, now: Instant, id: ConnectionId, mut kept: Vec<u8>, rest: &[u8]) {
        if kept.is_empty() && rest.is_empty() {
            return;
        }
        let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) else { return };
        kept.extend_from_slice(rest);
        // What a stack leaves is one incomplete unit, or what came while it could not go on.
        let kept_max = connection.stack.input_bytes_max().saturating_add(INPUT_SLACK_BYTES);
        if kept.len() > kept_max {
            self.audit_close(now, id, Reason::TooLarge);
            return self.end(now, id, Close::new(Reason::TooLarge, true));
        }
        connection.inbound = kept;
    }

    /// Lets the stack work on `input` until it is idle, and carries out its commands.
    pub(crate) fn run(&mut self, now: Instant, id: ConnectionId, input: &mut &[u8]) {
        self.lane.lend(id.slot);
        while let Some(connection) = self.lane.connections.get_mut(id) {
            let outbound_max = 2 * self.shared.limits.outbound_bytes_max;
            let has_room = connection.outbound.len() < outbound_max;
            if connection.is_closing() || connection.is_held_back() || !has_room {
                break;
            }
            let mut step = connection.stack.step(now, input, &mut connection.outbound);
            match &mut step {
                Step::Idle => break,
                // In its place: a command is large, and moving it costs as much as reading it.
                Step::Command(Command::Publish(publish)) => self.publish(now, id, publish),
                Step::Command(Command::Settle(settle)) => self.settle(now, id, *settle),
                Step::Command(_) | Step::Close(_) => self.carry_out(now, id, step),
            }
        }
        self.settle_output(id);
    }

    fn settle_output(&mut self, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        match connection.outbound.is_empty() {
            _ if connection.is_closing() => self.lane.mark_dirty(id.slot),
            true => self.lane.reclaim(id.slot),
            false => self.lane.mark_answered(id.slot),
        }
    }

    #[inline(never)]
    fn carry_out(&mut self, now: Instant, id: ConnectionId, step: Step<'_>) {
        match step {
            Step::Idle => {}
            Step::Command(command) => self.execute(now, id, command),
            Step::Close(close) => {
                self.audit_close(now, id, close.reason);
                self.end(now, id, close);
            }
        }
    }

    fn execute(&mut self, now: Instant, id: ConnectionId, command: Command<'_>) {
        self.lane.journal.begin();
        match command {
            Command::Publish(mut publish) => self.publish(now, id, &mut publish),
            Command::PublishIf(command) => self.publish_if(now, id, *command),
            Command::Settle(settle) => self.settle(now, id, settle),
            Command::Complete { receipt } => self.complete(now, id, receipt),
            Command::Subscribe(subscribe) => self.subscribe(now, id, &subscribe),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(now, id, &unsubscribe),
            Command::Read(topic) => self.read(now, id, topic),
            Command::Open(open) => self.open(now, id, open),
            Command::Authenticate(exchange) => self.authenticate(now, id, *exchange),
            Command::Queue(command) => self.queue_command(now, id, command),
            Command::Prepared(mut prepared) => self.execute(now, id, prepared.command()),
        }
    }
}
