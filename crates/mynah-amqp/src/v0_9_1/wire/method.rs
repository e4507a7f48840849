//! What a method is: its numbers, who sends it, its arguments. The files of the classes list them in tables, from which
//! their types, decoders and encoders are made.

use alloc::vec::Vec;
use core::fmt;

use super::fields::Domain;
use super::frame::{self, FrameType};

/// The numbers of a method: of its class, and within that its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    /// Number of the class.
    pub class: u16,
    /// Number within the class.
    pub method: u16,
}

impl MethodId {
    /// No method: what an exception names that none caused.
    pub const NONE: Self = Self { class: 0, method: 0 };

    /// The method with these numbers.
    #[must_use]
    pub const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match super::METHODS.iter().find(|spec| spec.id == *self) {
            Some(spec) => f.write_str(spec.name),
            None => write!(f, "method {}.{}", self.class, self.method),
        }
    }
}

/// Who sends a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Clients only.
    Client,
    /// Servers only.
    Server,
    /// Both.
    Both,
}

/// One row of the table of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSpec {
    /// Its numbers.
    pub id: MethodId,
    /// Its name with that of its class, such as `basic.publish`.
    pub name: &'static str,
    /// Who sends it.
    pub sender: Sender,
    /// Its arguments in their order.
    pub fields: &'static [(&'static str, Domain)],
}

/// Appends a frame with the method `id`, whose arguments `write` appends.
#[inline]
pub(super) fn encode_frame(channel: u16, id: MethodId, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = frame::begin(FrameType::Method, channel, out);
    out.extend_from_slice(&id.class.to_be_bytes());
    out.extend_from_slice(&id.method.to_be_bytes());
    write(out);
    frame::end(start, out);
}

/// Makes the types of a class from its rows: `Name<'b> = number sender "class.name" [reserved] { arguments } [reserved]`.
macro_rules! methods {
    ($class:literal; $(
        $(#[$doc:meta])*
        $name:ident $(<$lt:lifetime>)? = $id:literal $sender:ident $label:literal
        [$($lead:ty),*] { $( $(#[$field_doc:meta])* $field:ident : $type:ty ),* $(,)? } [$($trail:ty),*]
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name $(<$lt>)? {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// The numbers of the method.
            pub const ID: MethodId = MethodId::new($class, $id);
            /// The row of the method.
            pub const SPEC: MethodSpec = MethodSpec {
                id: Self::ID,
                name: $label,
                sender: Sender::$sender,
                fields: &[
                    $( ("reserved", <$lead as Argument<'_>>::DOMAIN), )*
                    $( (stringify!($field), <$type as Argument<'_>>::DOMAIN), )*
                    $( ("reserved", <$trail as Argument<'_>>::DOMAIN), )*
                ],
            };

            /// Reads the arguments.
            ///
            /// # Errors
            /// The bytes are not the arguments of this method.
            #[allow(unused_mut, reason = "a method may have no arguments")]
            pub fn decode(mut fields: Fields<$($lt)?>) -> Result<Self, Malformed> {
                $( fields.read::<$lead>()?; )*
                $( let $field = fields.read()?; )*
                $( fields.read::<$trail>()?; )*
                fields.finish()?;
                Ok(Self { $($field),* })
            }

            /// Appends a frame with the method.
            #[allow(unused_mut, unused_variables, reason = "a method may have no arguments")]
            pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
                encode_frame(channel, Self::ID, out, |out| {
                    let mut arguments = Arguments::new(out);
                    $( arguments.write(<$lead>::default()); )*
                    $( arguments.write(self.$field); )*
                    $( arguments.write(<$trail>::default()); )*
                });
            }
        }
    )* };
}

pub(super) use methods;
