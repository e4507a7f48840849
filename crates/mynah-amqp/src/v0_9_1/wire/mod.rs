//! Frames, methods, contents and tables as data: one file for each class of methods.

pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
mod content;
pub mod exchange;
mod fields;
pub mod frame;
mod method;
pub mod queue;
mod table;
pub mod tx;

use alloc::vec::Vec;

use super::Malformed;

pub use content::{BasicProperties, ContentHeader, PropertiesBuilder, PropertyId, PropertyValue};
pub use fields::{Argument, Arguments, Domain, Fields, LongStr, ShortStr};
pub use frame::{FRAME_END, FRAME_HEADER_LEN, FRAME_MIN_SIZE, FRAME_OVERHEAD, FrameType, HEARTBEAT};
pub use method::{MethodId, MethodSpec, Sender};
pub use table::{Array, TABLE_DEPTH_MAX, Table, TableBuilder, TableError, Value};

/// The protocol header that a client opens a connection with (section 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

macro_rules! all_methods {
    ($( $variant:ident ( $module:ident :: $name:ident $(<$lt:lifetime>)? ) )*) => {
        /// A method with its arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method<'b> {
            $(
                #[doc = concat!("`", stringify!($module), "::", stringify!($name), "`")]
                $variant($module::$name $(<$lt>)?),
            )*
        }

        /// The table of methods.
        pub const METHODS: &[MethodSpec] = &[$( $module::$name::SPEC ),*];

        impl<'b> Method<'b> {
            /// Reads the arguments of the method `id`.
            ///
            /// # Errors
            /// There is no such method, or the bytes are not its arguments.
            pub fn decode(id: MethodId, fields: Fields<'b>) -> Result<Self, Malformed> {
                Ok(match id {
                    $( $module::$name::ID => Self::$variant($module::$name::decode(fields)?), )*
                    _ => return Err(Malformed::UnknownMethod(id)),
                })
            }

            /// Appends a frame with the method.
            pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant(method) => method.encode(channel, out), )*
                }
            }

            /// The row of the method.
            #[must_use]
            pub const fn spec(&self) -> &'static MethodSpec {
                match self {
                    $( Self::$variant(_) => &$module::$name::SPEC, )*
                }
            }
        }

        $(
            impl<'b> From<$module::$name $(<$lt>)?> for Method<'b> {
                fn from(method: $module::$name $(<$lt>)?) -> Self {
                    Self::$variant(method)
                }
            }
        )*
    };
}

all_methods! {
    ConnectionStart(connection::Start<'b>)
    ConnectionStartOk(connection::StartOk<'b>)
    ConnectionSecure(connection::Secure<'b>)
    ConnectionSecureOk(connection::SecureOk<'b>)
    ConnectionTune(connection::Tune)
    ConnectionTuneOk(connection::TuneOk)
    ConnectionOpen(connection::Open<'b>)
    ConnectionOpenOk(connection::OpenOk)
    ConnectionClose(connection::Close<'b>)
    ConnectionCloseOk(connection::CloseOk)
    ConnectionBlocked(connection::Blocked<'b>)
    ConnectionUnblocked(connection::Unblocked)
    ConnectionUpdateSecret(connection::UpdateSecret<'b>)
    ConnectionUpdateSecretOk(connection::UpdateSecretOk)
    ChannelOpen(channel::Open)
    ChannelOpenOk(channel::OpenOk)
    ChannelFlow(channel::Flow)
    ChannelFlowOk(channel::FlowOk)
    ChannelClose(channel::Close<'b>)
    ChannelCloseOk(channel::CloseOk)
    ExchangeDeclare(exchange::Declare<'b>)
    ExchangeDeclareOk(exchange::DeclareOk)
    ExchangeDelete(exchange::Delete<'b>)
    ExchangeDeleteOk(exchange::DeleteOk)
    ExchangeBind(exchange::Bind<'b>)
    ExchangeBindOk(exchange::BindOk)
    ExchangeUnbind(exchange::Unbind<'b>)
    ExchangeUnbindOk(exchange::UnbindOk)
    QueueDeclare(queue::Declare<'b>)
    QueueDeclareOk(queue::DeclareOk<'b>)
    QueueBind(queue::Bind<'b>)
    QueueBindOk(queue::BindOk)
    QueuePurge(queue::Purge<'b>)
    QueuePurgeOk(queue::PurgeOk)
    QueueDelete(queue::Delete<'b>)
    QueueDeleteOk(queue::DeleteOk)
    QueueUnbind(queue::Unbind<'b>)
    QueueUnbindOk(queue::UnbindOk)
    BasicQos(basic::Qos)
    BasicQosOk(basic::QosOk)
    BasicConsume(basic::Consume<'b>)
    BasicConsumeOk(basic::ConsumeOk<'b>)
    BasicCancel(basic::Cancel<'b>)
    BasicCancelOk(basic::CancelOk<'b>)
    BasicPublish(basic::Publish<'b>)
    BasicReturn(basic::Return<'b>)
    BasicDeliver(basic::Deliver<'b>)
    BasicGet(basic::Get<'b>)
    BasicGetOk(basic::GetOk<'b>)
    BasicGetEmpty(basic::GetEmpty)
    BasicAck(basic::Ack)
    BasicReject(basic::Reject)
    BasicRecoverAsync(basic::RecoverAsync)
    BasicRecover(basic::Recover)
    BasicRecoverOk(basic::RecoverOk)
    BasicNack(basic::Nack)
    ConfirmSelect(confirm::Select)
    ConfirmSelectOk(confirm::SelectOk)
    TxSelect(tx::Select)
    TxSelectOk(tx::SelectOk)
    TxCommit(tx::Commit)
    TxCommitOk(tx::CommitOk)
    TxRollback(tx::Rollback)
    TxRollbackOk(tx::RollbackOk)
}

impl<'b> Method<'b> {
    /// Reads the payload of a method frame.
    ///
    /// # Errors
    /// There is no such method, or the bytes are not its arguments.
    pub fn from_payload(payload: &'b [u8]) -> Result<Self, Malformed> {
        let (id, arguments) = split_id(payload)?;
        Self::decode(id, arguments)
    }

    /// The numbers of the method.
    #[must_use]
    pub const fn id(&self) -> MethodId {
        self.spec().id
    }
}

/// Splits the payload of a method frame into the numbers of the method and its arguments.
///
/// # Errors
/// The payload is too short.
#[inline]
pub fn split_id(payload: &[u8]) -> Result<(MethodId, Fields<'_>), Malformed> {
    let (id, arguments) = payload.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
    let [c0, c1, m0, m1] = *id;
    let id = MethodId::new(u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1]));
    Ok((id, Fields::new(arguments)))
}
