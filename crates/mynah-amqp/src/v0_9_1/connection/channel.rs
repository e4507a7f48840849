//! Channels: opened and closed, and what each of them keeps.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::{ConsumerId, LeaseSettlement, Outbound};

use super::ServerConnection;
use super::prepared::Todo;
use super::publishing::Publication;
use super::settling::{Held, add_row};
use super::transacting::Transaction;
use crate::v0_9_1::flow::{Assembly, Confirms, Prefetch, Unacknowledged};
use crate::v0_9_1::wire::channel::{Close, CloseOk, Flow, FlowOk, Open, OpenOk};
use crate::v0_9_1::wire::{Method, MethodId, split_id};
use crate::v0_9_1::{Exception, Violation};

/// One channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Distinguishes it from others that have had its number.
    pub(super) epoch: u32,
    /// The server has closed it and waits for the answer.
    pub(super) is_closing: bool,
    pub(super) assembly: Assembly<Publication>,
    /// Present once confirm.select has come.
    pub(super) confirms: Option<Box<Confirms>>,
    /// Present once tx.select has come.
    pub(super) tx: Option<Box<Transaction>>,
    /// The queue that was declared last.
    pub(super) last_queue: Box<[u8]>,
    /// The queue that replies come by; empty if there is none.
    pub(super) reply_queue: Box<[u8]>,
    pub(super) unacknowledged: Unacknowledged<Held>,
    pub(super) prefetch: Prefetch,
    /// The bound of consumers to come; 0: none.
    pub(super) prefetch_count: u16,
    /// The consumer that basic.get asks with.
    pub(super) poller: Option<u32>,
}

impl ServerConnection {
    /// Handles a method on a channel that is not there: only channel.open may come.
    pub(super) fn handle_unopened(&mut self, now: Instant, number: u16, payload: &[u8], out: &mut Outbound) {
        let id = split_id(payload).map_or(MethodId::NONE, |(id, _)| id);
        let violation = if number > self.terms.channel_max {
            Violation::ChannelNumber
        } else if id != Open::ID {
            Violation::ChannelNotOpen
        } else {
            match Method::from_payload(payload) {
                Ok(_) => return self.open_channel(number, out),
                Err(malformed) => return self.raise_error(now, malformed.into(), payload, out),
            }
        };
        self.raise(now, 0, Exception::of_error(violation.into(), id), out);
    }

    fn open_channel(&mut self, number: u16, out: &mut Outbound) {
        self.epoch = self.epoch.wrapping_add(1);
        let channel = Channel { epoch: self.epoch, ..Channel::default() };
        self.channels.insert(number, Box::new(channel));
        self.send(number, OpenOk {}, out);
    }

    /// Handles the methods of the class channel.
    pub(super) fn handle_channel(
        &mut self,
        now: Instant,
        number: u16,
        method: Method<'_>,
        out: &mut Outbound,
    ) {
        match method {
            Method::ChannelClose(_) => {
                self.confirm(out);
                self.drop_channel(number);
                self.send(number, CloseOk {}, out);
            }
            Method::ChannelFlow(Flow { active }) => {
                self.set_active(number, active);
                self.send(number, FlowOk { active }, out);
            }
            method => {
                let violation = match method {
                    Method::ChannelOpen(_) => Violation::ChannelOpen,
                    _ => Violation::UnexpectedMethod,
                };
                self.raise(now, 0, Exception::of_error(violation.into(), method.id()), out);
            }
        }
    }

    /// Handles what comes on a channel that the server has closed: only close and close-ok count.
    pub(super) fn handle_closing_channel(&mut self, number: u16, payload: &[u8], out: &mut Outbound) {
        match split_id(payload) {
            Ok((CloseOk::ID, _)) => self.drop_channel(number),
            // Both ends have closed it.
            Ok((Close::ID, _)) => self.send(number, CloseOk {}, out),
            _ => {}
        }
    }

    /// The server closes a channel: what it keeps is let go, and its number stays until the client has answered.
    pub(super) fn begin_channel_close(&mut self, number: u16) {
        self.let_go(number);
        if let Some(channel) = self.channels.get_mut(&number) {
            let epoch = channel.epoch;
            **channel = Channel { epoch, is_closing: true, ..Channel::default() };
        }
    }

    fn drop_channel(&mut self, number: u16) {
        self.let_go(number);
        self.channels.remove(&number);
    }

    /// Ends the consumers of a channel, and gives back what waits on it.
    fn let_go(&mut self, number: u16) {
        self.roll_back(number);
        let ended = self.consumers.remove_channel(number);
        // What a consumer holds goes with it.
        let is_left = |held: &Held| !ended.contains(&held.consumer);
        let mut rows = Vec::new();
        if let Some(channel) = self.channels.get_mut(&number) {
            self.contents_bytes -= channel.assembly.size();
            channel.assembly.clear();
            channel
                .unacknowledged
                .take_if(is_left, |held| add_row(held, LeaseSettlement::RELEASED, &mut rows));
        }
        self.todo.extend(rows.into_iter().map(Todo::Settle));
        let cancel = |consumer| Todo::Cancel { consumer: ConsumerId(consumer), keep: false };
        self.todo.extend(ended.into_iter().map(cancel));
    }
}
