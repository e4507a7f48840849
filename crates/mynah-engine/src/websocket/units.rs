//! Messages that are units: put together from their frames, and handed on with their lengths before them.

/// Bytes of the length before a unit.
const LENGTH_BYTES: usize = 4;

/// Units of one client, whole ones first.
#[derive(Debug, Default)]
pub(super) struct Units {
    bytes: Vec<u8>,
    /// Where the length of the unit stands that is not whole.
    begun: Option<usize>,
}

impl Units {
    /// Takes in a piece of a unit, whose bounds the decoder keeps.
    pub(super) fn push(&mut self, piece: &[u8], ends: bool) {
        let at = *self.begun.get_or_insert_with(|| {
            self.bytes.extend([0; LENGTH_BYTES]);
            self.bytes.len() - LENGTH_BYTES
        });
        self.bytes.extend_from_slice(piece);
        if ends {
            let len = u32::try_from(self.bytes.len() - at - LENGTH_BYTES).unwrap_or(u32::MAX);
            self.bytes[at..at + LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
            self.begun = None;
        }
    }

    /// Moves the whole ones to `out`.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        match self.begun {
            Some(0) => {}
            Some(at) => {
                out.extend(self.bytes.drain(..at));
                self.begun = Some(0);
            }
            // An idle client keeps nothing.
            None => out.append(&mut core::mem::take(&mut self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_handed_on_when_its_last_piece_is_there() {
        let (mut units, mut out) = (Units::default(), Vec::new());
        units.push(b"ab", false);
        units.take(&mut out);
        assert_eq!(out, b"");
        units.push(b"c", true);
        units.push(b"", true);
        units.push(b"de", false);
        units.take(&mut out);
        assert_eq!(out, b"\0\0\0\x03abc\0\0\0\0");
        out.clear();
        units.push(b"f", true);
        units.take(&mut out);
        assert_eq!(out, b"\0\0\0\x03def");
    }
}
