//! What a client has sent and waits to be answered: identifiers, order, what to send again (sections 4.3 to 4.6), and what
//! has to wait until the server takes more (section 4.9 of MQTT 5.0).
//!
//! Invariants: an identifier is in `used` exactly while one of the queues holds it; the first `sent` publications have been
//! sent on this connection, and the others not.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use mynah_model::Class;
use mynah_stack::Outbound;

use super::Terms;
use crate::wire::{Ack, AckType, PacketId, ReasonCode};
use crate::{Error, Violation};

/// DUP and RETAIN in the first byte of a PUBLISH.
const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Not acknowledged at all, in the order in which they are sent.
    publications: VecDeque<Publication>,
    sent: usize,
    /// Received by the server, to be released, in the order of the PUBRECs.
    releases: VecDeque<PacketId>,
    requests: VecDeque<Request>,
    used: BTreeSet<PacketId>,
    last: Option<PacketId>,
}

/// A publication with its whole packet, as it is sent the next time but for an alias of the topic.
#[derive(Debug)]
struct Publication {
    id: PacketId,
    class: Class,
    packet: Vec<u8>,
}

impl Publication {
    fn set_flag(&mut self, flag: u8, on: bool) {
        if let Some(first) = self.packet.first_mut() {
            *first = if on { *first | flag } else { *first & !flag };
        }
    }
}

/// A SUBSCRIBE or an UNSUBSCRIBE, with its number of filters.
#[derive(Debug)]
struct Request {
    id: PacketId,
    filters: usize,
    subscribes: bool,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.used.len()
    }

    /// An identifier that is not in use ([MQTT-2.3.1-2]); none if `max` are.
    pub(super) fn fresh_id(&self, max: u16) -> Option<PacketId> {
        if self.used.len() >= usize::from(max) {
            return None;
        }
        let mut id = self.last.map_or(PacketId::new(1), |last| Some(last.next()))?;
        // Fewer than 65,535 are in use: one is free.
        while self.used.contains(&id) {
            id = id.next();
        }
        Some(id)
    }

    pub(super) fn add_publication(&mut self, id: PacketId, class: Class, packet: Vec<u8>) {
        self.take(id);
        self.publications.push_back(Publication { id, class, packet });
    }

    pub(super) fn add_subscribe(&mut self, id: PacketId, filters: usize) {
        self.take(id);
        self.requests.push_back(Request { id, filters, subscribes: true });
    }

    pub(super) fn add_unsubscribe(&mut self, id: PacketId, filters: usize) {
        self.take(id);
        self.requests.push_back(Request { id, filters, subscribes: false });
    }

    fn take(&mut self, id: PacketId) {
        self.used.insert(id);
        self.last = Some(id);
    }

    /// PUBACK. Says whether it ended a publication; an unknown identifier is one that was answered before.
    pub(super) fn on_puback(&mut self, id: PacketId) -> Result<bool, Error> {
        self.end_publication(id, Class::AtLeastOnce).inspect(|&ended| {
            if ended {
                self.used.remove(&id);
            }
        })
    }

    /// PUBREC: the publication is not sent again, its release is ([MQTT-4.3.3-1]). Says whether it was waited for.
    pub(super) fn on_pubrec(&mut self, id: PacketId) -> Result<bool, Error> {
        let is_new = self.end_publication(id, Class::ExactlyOnce)?;
        if is_new {
            self.releases.push_back(id);
        }
        Ok(is_new || self.releases.contains(&id))
    }

    /// PUBREC of MQTT 5.0 that refuses the publication: it is over ([MQTT-4.3.3-4]). Says whether it was waited for.
    pub(super) fn on_refusal(&mut self, id: PacketId) -> Result<bool, Error> {
        self.end_publication(id, Class::ExactlyOnce).inspect(|&ended| {
            if ended {
                self.used.remove(&id);
            }
        })
    }

    /// PUBCOMP. Says whether it ended a publication.
    pub(super) fn on_pubcomp(&mut self, id: PacketId) -> bool {
        let Some(at) = self.releases.iter().position(|&release| release == id) else { return false };
        self.releases.remove(at);
        self.used.remove(&id)
    }

    fn end_publication(&mut self, id: PacketId, class: Class) -> Result<bool, Error> {
        let Some(at) = self.publications.iter().position(|p| p.id == id) else { return Ok(false) };
        if self.publications[at].class != class {
            return Err(Violation::UnexpectedAcknowledgement.into());
        }
        self.publications.remove(at);
        if at < self.sent {
            self.sent -= 1;
        }
        Ok(true)
    }

    /// SUBACK with this number of codes. Says whether it was waited for.
    pub(super) fn on_suback(&mut self, id: PacketId, codes: usize) -> Result<bool, Error> {
        self.end_request(id, true, Some(codes))
    }

    /// UNSUBACK with this number of codes, or without any before MQTT 5.0. Says whether it was waited for.
    pub(super) fn on_unsuback(&mut self, id: PacketId, codes: Option<usize>) -> Result<bool, Error> {
        self.end_request(id, false, codes)
    }

    fn end_request(&mut self, id: PacketId, subscribes: bool, codes: Option<usize>) -> Result<bool, Error> {
        let Some(at) = self.requests.iter().position(|request| request.id == id) else { return Ok(false) };
        let request = &self.requests[at];
        if request.subscribes != subscribes || codes.is_some_and(|codes| codes != request.filters) {
            return Err(Violation::UnexpectedAcknowledgement.into());
        }
        self.requests.remove(at);
        Ok(self.used.remove(&id))
    }

    /// Begins on a new connection: sends the releases again, in the order of the first time ([MQTT-4.4.0-1],
    /// [MQTT-4.6.0-1]). The publications are to follow by [`InFlight::send`].
    pub(super) fn resume(&mut self, out: &mut Outbound) {
        self.sent = 0;
        for &packet_id in &self.releases {
            out.append(&Ack { ack_type: AckType::Pubrel, packet_id }.encode());
        }
    }

    /// Hands publications to `write` in their order while the server takes more ([MQTT-3.3.4-7] of MQTT 5.0). What is sent
    /// once has DUP set when it is sent again ([MQTT-3.3.1-1]).
    pub(super) fn send(&mut self, receive_max: u16, mut write: impl FnMut(Class, &[u8])) {
        while self.sent + self.releases.len() < usize::from(receive_max) {
            let Some(publication) = self.publications.get_mut(self.sent) else { return };
            write(publication.class, &publication.packet);
            publication.set_flag(DUP, true);
            self.sent += 1;
        }
    }

    /// The server has lost the session ([MQTT-3.2.2-5] of MQTT 5.0): publications are new to it, and what it has received is
    /// over. Returns that.
    pub(super) fn lose_session(&mut self) -> Vec<PacketId> {
        self.publications.iter_mut().for_each(|publication| publication.set_flag(DUP, false));
        let received: Vec<_> = self.releases.drain(..).collect();
        for id in &received {
            self.used.remove(id);
        }
        received
    }

    /// Forgets publications that the server would not take. Returns them with the reasons.
    pub(super) fn drop_refused(&mut self, terms: &Terms) -> Vec<(PacketId, ReasonCode)> {
        let mut refused = Vec::new();
        self.publications.retain(|Publication { id, class, packet }| {
            let retain = packet.first().is_some_and(|first| first & RETAIN != 0);
            let refusal = terms.refusal(*class, retain, packet.len());
            refused.extend(refusal.map(|code| (*id, code)));
            refusal.is_none()
        });
        for (id, _) in &refused {
            self.used.remove(id);
        }
        refused
    }

    /// Forgets requests: their answers do not come on another connection.
    pub(super) fn forget_requests(&mut self) {
        for request in self.requests.drain(..) {
            self.used.remove(&request.id);
        }
    }

    /// Forgets everything but the place in the sequence of identifiers.
    pub(super) fn clear(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    //= mqtt-3.1.1 [MQTT-2.3.1-2] [MQTT-2.3.1-3]
    #[test]
    fn an_identifier_in_use_is_skipped_and_a_released_one_used_again() {
        let mut in_flight = InFlight { last: Some(id(65_534)), ..InFlight::default() };
        in_flight.add_subscribe(id(65_535), 1);
        in_flight.add_publication(id(1), Class::AtLeastOnce, Vec::new());
        assert_eq!(in_flight.fresh_id(10), Some(id(2)));
        assert_eq!(in_flight.fresh_id(2), None);
        assert_eq!(in_flight.on_puback(id(1)), Ok(true));
        assert_eq!(in_flight.on_puback(id(1)), Ok(false));
        in_flight.last = Some(id(65_534));
        assert_eq!(in_flight.fresh_id(10), Some(id(1)));
    }

    #[test]
    fn an_acknowledgement_of_the_wrong_kind_is_a_violation() {
        let mut in_flight = InFlight::default();
        in_flight.add_publication(id(1), Class::ExactlyOnce, Vec::new());
        in_flight.add_subscribe(id(2), 2);
        assert!(in_flight.on_puback(id(1)).is_err());
        assert!(in_flight.on_suback(id(2), 1).is_err());
        assert!(in_flight.on_unsuback(id(2), None).is_err());
        assert_eq!(in_flight.len(), 2);
    }

    //= mqtt-3.1.1 [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    #[test]
    fn releases_come_before_publications_and_both_in_their_order() {
        let mut in_flight = InFlight::default();
        for number in 1..=4 {
            in_flight.add_publication(id(number), Class::ExactlyOnce, alloc::vec![0x34, number as u8]);
        }
        in_flight.send(u16::MAX, |_, _| {});
        in_flight.on_pubrec(id(3)).unwrap();
        in_flight.on_pubrec(id(2)).unwrap();
        let mut out = Outbound::new();
        in_flight.resume(&mut out);
        in_flight.send(u16::MAX, |_, packet| {
            out.append(packet);
        });
        assert_eq!(out.drain(), [0x62, 2, 0, 3, 0x62, 2, 0, 2, 0x3C, 1, 0x3C, 4]);
        assert!(in_flight.on_pubcomp(id(2)));
        assert!(!in_flight.on_pubcomp(id(2)));
    }

    //= mqtt-5.0 [MQTT-3.3.4-7] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
    #[test]
    fn what_the_server_does_not_take_at_once_waits_in_order() {
        let mut in_flight = InFlight::default();
        for number in 1..=4 {
            in_flight.add_publication(id(number), Class::ExactlyOnce, alloc::vec![0x34, number as u8]);
        }
        let sent = |in_flight: &mut InFlight| {
            let mut sent = Vec::new();
            in_flight.send(2, |_, packet| sent.push((packet[0], packet[1])));
            sent
        };
        assert_eq!(sent(&mut in_flight), [(0x34, 1), (0x34, 2)]);
        // Received is not complete.
        in_flight.on_pubrec(id(1)).unwrap();
        assert_eq!(sent(&mut in_flight), []);
        assert_eq!(in_flight.on_refusal(id(2)), Ok(true));
        assert_eq!(sent(&mut in_flight), [(0x34, 3)]);
        in_flight.on_pubcomp(id(1));
        assert_eq!(sent(&mut in_flight), [(0x34, 4)]);
        // On another connection only what was sent before says so.
        in_flight.add_publication(id(5), Class::ExactlyOnce, alloc::vec![0x34, 5]);
        in_flight.resume(&mut Outbound::new());
        let mut again = Vec::new();
        in_flight.send(9, |_, packet| again.push((packet[0], packet[1])));
        assert_eq!(again, [(0x3C, 3), (0x3C, 4), (0x34, 5)]);
    }

    //= mqtt-5.0 [MQTT-3.2.2-5] [MQTT-3.2.2-15]
    #[test]
    fn a_lost_session_and_narrower_terms_are_told() {
        let mut in_flight = InFlight::default();
        for (number, len) in [(1, 4), (2, 4), (3, 40)] {
            in_flight.add_publication(id(number), Class::ExactlyOnce, alloc::vec![0x34; len]);
        }
        in_flight.send(u16::MAX, |_, _| {});
        in_flight.on_pubrec(id(1)).unwrap();
        assert_eq!(in_flight.lose_session(), [id(1)]);
        let terms = Terms { packet_bytes_max: 39, ..Terms::NONE };
        assert_eq!(in_flight.drop_refused(&terms), [(id(3), ReasonCode::PacketTooLarge)]);
        in_flight.resume(&mut Outbound::new());
        let mut again = Vec::new();
        in_flight.send(u16::MAX, |_, packet| again.push(packet[0]));
        assert_eq!((again.as_slice(), in_flight.len()), (&[0x34][..], 1));
    }

    //= mqtt-5.0 [MQTT-3.2.2-11] [MQTT-3.2.2-14]
    #[test]
    fn what_is_not_retained_or_low_enough_outlives_narrower_terms() {
        let mut in_flight = InFlight::default();
        for (number, class, first) in
            [(1, Class::AtLeastOnce, 0x32), (2, Class::AtLeastOnce, 0x33), (3, Class::ExactlyOnce, 0x34)]
        {
            in_flight.add_publication(id(number), class, alloc::vec![first; 4]);
        }
        let terms = Terms { retain: false, class_max: Class::AtLeastOnce, ..Terms::NONE };
        let refused = [(id(2), ReasonCode::RetainNotSupported), (id(3), ReasonCode::QosNotSupported)];
        assert_eq!(in_flight.drop_refused(&terms), refused);
        let mut kept = Vec::new();
        in_flight.send(u16::MAX, |_, packet| kept.push(packet[0]));
        assert_eq!(kept, [0x32]);
        // The identifiers of what was refused are free.
        assert_eq!(in_flight.fresh_id(10), Some(id(4)));
        in_flight.last = None;
        assert_eq!(in_flight.fresh_id(10), Some(id(2)));
    }
}
