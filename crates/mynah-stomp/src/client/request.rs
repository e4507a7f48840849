//! What a program asks of its client.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mynah_model::Instant;

use super::{Client, Delivered, Misuse, State};
use crate::Version;
use crate::wire::{AckMode, Bracket, Command, push_header};

impl Client {
    /// Sends a message. Returns the number of its receipt, if one is wanted.
    ///
    /// # Errors
    /// The connection is not open, or a header cannot be spelled.
    pub fn send<'h>(
        &mut self,
        now: Instant,
        destination: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: &[u8],
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        let length = body.len().to_string();
        let own = [("destination", destination), ("content-length", length.as_str())];
        self.request(now, Command::Send, &own, headers, body, receipt)
    }

    /// Asks for the messages of a destination; `headers` may say more, such as a `selector`.
    ///
    /// # Errors
    /// The connection is not open, a header cannot be spelled, or STOMP 1.0 does not have the mode.
    pub fn subscribe<'h>(
        &mut self,
        now: Instant,
        id: &str,
        destination: &str,
        ack: AckMode,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        if ack == AckMode::ClientIndividual && self.version == Version::V1_0 {
            return Err(Misuse::Version);
        }
        let own = [("id", id), ("destination", destination), ("ack", ack.text())];
        self.request(now, Command::Subscribe, &own, headers, b"", receipt)
    }

    /// Asks for no more messages.
    ///
    /// # Errors
    /// The connection is not open, or the name cannot be spelled.
    pub fn unsubscribe(&mut self, now: Instant, id: &str, receipt: bool) -> Result<Option<u64>, Misuse> {
        self.request(now, Command::Unsubscribe, &[("id", id)], [], b"", receipt)
    }

    /// Says that a message was consumed, now or when the transaction is committed.
    ///
    /// # Errors
    /// The connection is not open.
    pub fn ack(
        &mut self,
        now: Instant,
        message: &Delivered,
        transaction: Option<&str>,
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        self.acknowledge(now, message, false, transaction, receipt)
    }

    /// Says that a message was not consumed.
    ///
    /// # Errors
    /// The connection is not open, or STOMP 1.0 is spoken.
    pub fn nack(
        &mut self,
        now: Instant,
        message: &Delivered,
        transaction: Option<&str>,
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        if self.version == Version::V1_0 {
            return Err(Misuse::Version);
        }
        self.acknowledge(now, message, true, transaction, receipt)
    }

    fn acknowledge(
        &mut self,
        now: Instant,
        message: &Delivered,
        is_nack: bool,
        transaction: Option<&str>,
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        self.check_open()?;
        let number = self.next_receipt(receipt);
        let text = number.map(|number| number.to_string());
        let mut frame = Vec::new();
        message.to_ack(is_nack, transaction, self.version).encode(text.as_deref(), self.version, &mut frame);
        self.write(now, &frame);
        Ok(number)
    }

    /// Begins, commits or aborts a transaction.
    ///
    /// # Errors
    /// The connection is not open, or `command` is none of [`Command::Begin`], [`Command::Commit`] and [`Command::Abort`].
    pub fn transact(
        &mut self,
        now: Instant,
        command: Command,
        transaction: &str,
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        self.check_open()?;
        if !matches!(command, Command::Begin | Command::Commit | Command::Abort) {
            return Err(Misuse::Version);
        }
        let number = self.next_receipt(receipt);
        let text = number.map(|number| number.to_string());
        let mut frame = Vec::new();
        let bracket = Bracket { command, transaction: transaction.into() };
        bracket.encode(text.as_deref(), self.version, &mut frame);
        self.write(now, &frame);
        Ok(number)
    }

    /// Takes leave. The connection closes once the server has said that all before has arrived.
    ///
    /// # Errors
    /// The connection is not open.
    pub fn disconnect(&mut self, now: Instant) -> Result<(), Misuse> {
        let number = self.request(now, Command::Disconnect, &[], [], b"", true)?;
        self.state = State::Leaving { since: now, receipt: number.unwrap_or_default() };
        Ok(())
    }

    fn request<'h>(
        &mut self,
        now: Instant,
        command: Command,
        own: &[(&str, &str)],
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: &[u8],
        receipt: bool,
    ) -> Result<Option<u64>, Misuse> {
        self.check_open()?;
        let mut frame = Vec::new();
        crate::wire::push_command(command, &mut frame);
        let mut push = |name: &str, value: &str| {
            push_header(name, value, self.version.escaping(), &mut frame)
                .then_some(())
                .ok_or(Misuse::Unspeakable)
        };
        own.iter().try_for_each(|(name, value)| push(name, value))?;
        for (name, value) in headers {
            push(name, value)?;
        }
        let number = self.next_receipt(receipt);
        let text: Option<String> = number.map(|number| number.to_string());
        if let Some(text) = &text {
            push_header("receipt", text, self.version.escaping(), &mut frame);
        }
        crate::wire::push_body(body, &mut frame);
        self.write(now, &frame);
        Ok(number)
    }

    fn next_receipt(&mut self, wanted: bool) -> Option<u64> {
        self.receipt += u64::from(wanted);
        wanted.then_some(self.receipt)
    }

    fn write(&mut self, now: Instant, frame: &[u8]) {
        self.out.append(frame);
        self.beats.sent(now);
    }

    fn check_open(&self) -> Result<(), Misuse> {
        if self.is_open() { Ok(()) } else { Err(Misuse::NotOpen) }
    }
}
