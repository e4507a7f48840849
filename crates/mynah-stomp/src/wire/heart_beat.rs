//! The `heart-beat` header ("Heart-beating").

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use crate::Violation;

/// What one end can do and would like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartBeat {
    /// Milliseconds between two signs of life that this end guarantees; 0: it gives none.
    pub sends: u32,
    /// Milliseconds between two signs of life that it would like of the other end; 0: it wants none.
    pub wants: u32,
}

impl HeartBeat {
    /// Reads the value of the header; an absent one says no to both.
    ///
    /// # Errors
    /// It is not two numbers with a comma between them.
    pub fn decode(value: Option<&str>) -> Result<Self, Violation> {
        let Some(value) = value else { return Ok(Self::default()) };
        let wrong = Violation::HeaderValue("heart-beat");
        let (sends, wants) = value.split_once(',').ok_or(wrong)?;
        let millis = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
            // Who promises less than once in 49 days promises nothing.
            is_number.then(|| digits.parse().unwrap_or(0)).ok_or(wrong)
        };
        Ok(Self { sends: millis(sends)?, wants: millis(wants)? })
    }

    /// The value of the header.
    #[must_use]
    pub fn encode(self) -> String {
        let mut value = String::new();
        // Writing to a string does not fail.
        let _ = write!(value, "{},{}", self.sends, self.wants);
        value
    }

    /// How often this end has to give a sign of life to one that says `other`.
    #[must_use]
    pub fn towards(self, other: Self) -> Option<Duration> {
        (self.sends != 0 && other.wants != 0)
            .then(|| Duration::from_millis(u64::from(self.sends.max(other.wants))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= stomp-1.2 [heart-beat-format] [heart-beat-missing] [heart-beat-interval]
    //= stomp-1.1 [heart-beat-format]
    #[test]
    fn two_numbers_say_how_often_each_way() {
        let ours = HeartBeat { sends: 100, wants: 200 };
        for (value, towards_us, towards_them) in [
            (Some("0,0"), None, None),
            (None, None, None),
            (Some("1,0"), Some(200), None),
            (Some("500,0"), Some(500), None),
            (Some("0,1"), None, Some(100)),
            (Some("1000,4000"), Some(1000), Some(4000)),
            (Some("99999999999,1"), None, Some(100)),
        ] {
            let theirs = HeartBeat::decode(value).unwrap();
            let millis = |interval: Option<Duration>| interval.map(|interval| interval.as_millis());
            assert_eq!(millis(theirs.towards(ours)), towards_us, "{value:?}");
            assert_eq!(millis(ours.towards(theirs)), towards_them, "{value:?}");
        }
        for wrong in ["", ",", "1", "1,", ",1", "-1,0", "1, 0", "a,b", "1,2,3", "+1,0"] {
            assert!(HeartBeat::decode(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(HeartBeat::decode(Some(&ours.encode())), Ok(ours));
    }
}
