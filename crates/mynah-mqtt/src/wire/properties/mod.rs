//! Properties of MQTT 5.0 (section 2.2.2): a section is checked once, as a whole, and read when asked.
//!
//! ```text
//! | property length (variable byte integer) | identifier | value | identifier | value | ...
//! ```

mod property;
mod section;
mod sets;

pub use property::{Property, PropertyId};
pub use section::{PropertyHolder, Section, push_user_property, user_properties};
pub use sets::{
    AckProperties, AuthProperties, ConnackProperties, ConnectProperties, DisconnectProperties,
    SubackProperties, SubscribeProperties, UnsubackProperties, UnsubscribeProperties, WillProperties,
};

pub(crate) use section::read_user_property;
pub(super) use sets::encode_section;
