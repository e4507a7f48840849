//! What a client has sent and waits to be answered: identifiers, order, and what to send again (sections 4.3 to 4.6).
//!
//! Invariant: an identifier is in `used` exactly while one of the queues holds it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use mynah_model::Class;
use mynah_stack::Outbound;

use crate::wire::{Ack, AckType, PacketId};
use crate::{Error, Violation};

/// DUP in the first byte of a PUBLISH.
const DUP: u8 = 0x08;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Not acknowledged at all, in the order they were sent.
    publications: VecDeque<Publication>,
    /// Received by the server, to be released, in the order of the PUBRECs.
    releases: VecDeque<PacketId>,
    requests: VecDeque<Request>,
    used: BTreeSet<PacketId>,
    last: Option<PacketId>,
}

#[derive(Debug)]
struct Publication {
    id: PacketId,
    class: Class,
    packet: Vec<u8>,
}

/// A SUBSCRIBE with its number of filters, or an UNSUBSCRIBE.
#[derive(Debug)]
struct Request {
    id: PacketId,
    filters: Option<usize>,
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
        self.requests.push_back(Request { id, filters: Some(filters) });
    }

    pub(super) fn add_unsubscribe(&mut self, id: PacketId) {
        self.take(id);
        self.requests.push_back(Request { id, filters: None });
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

    /// PUBREC: the publication is not sent again, its release is ([MQTT-4.3.3-1]).
    pub(super) fn on_pubrec(&mut self, id: PacketId) -> Result<(), Error> {
        if self.end_publication(id, Class::ExactlyOnce)? {
            self.releases.push_back(id);
        }
        Ok(())
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
        Ok(true)
    }

    /// SUBACK with this number of codes. Says whether it was waited for.
    pub(super) fn on_suback(&mut self, id: PacketId, codes: usize) -> Result<bool, Error> {
        self.end_request(id, Some(codes))
    }

    /// UNSUBACK. Says whether it was waited for.
    pub(super) fn on_unsuback(&mut self, id: PacketId) -> Result<bool, Error> {
        self.end_request(id, None)
    }

    fn end_request(&mut self, id: PacketId, filters: Option<usize>) -> Result<bool, Error> {
        let Some(at) = self.requests.iter().position(|request| request.id == id) else { return Ok(false) };
        if self.requests[at].filters != filters {
            return Err(Violation::UnexpectedAcknowledgement.into());
        }
        self.requests.remove(at);
        Ok(self.used.remove(&id))
    }

    /// Sends again what the server has not answered, in the order of the first time ([MQTT-4.4.0-1],
    /// [MQTT-4.6.0-1]), with DUP set ([MQTT-3.3.1-1]).
    pub(super) fn resend(&mut self, out: &mut Outbound) {
        for &packet_id in &self.releases {
            out.append(&Ack { ack_type: AckType::Pubrel, packet_id }.encode());
        }
        for publication in &mut self.publications {
            if let Some(first) = publication.packet.first_mut() {
                *first |= DUP;
            }
            out.append(&publication.packet);
        }
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
        assert!(in_flight.on_unsuback(id(2)).is_err());
        assert_eq!(in_flight.len(), 2);
    }

    //= mqtt-3.1.1 [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    #[test]
    fn releases_come_before_publications_and_both_in_their_order() {
        let mut in_flight = InFlight::default();
        for number in 1..=4 {
            in_flight.add_publication(id(number), Class::ExactlyOnce, alloc::vec![0x34, number as u8]);
        }
        in_flight.on_pubrec(id(3)).unwrap();
        in_flight.on_pubrec(id(2)).unwrap();
        let mut out = Outbound::new();
        in_flight.resend(&mut out);
        assert_eq!(out.drain(), [0x62, 2, 0, 3, 0x62, 2, 0, 2, 0x3C, 1, 0x3C, 4]);
        assert!(in_flight.on_pubcomp(id(2)));
        assert!(!in_flight.on_pubcomp(id(2)));
    }
}
