//! Cipher suites.

/// A cipher suite. All are of AES-128 with SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655), which CoAP demands.
    PskCcm8,
    /// `TLS_PSK_WITH_AES_128_GCM_SHA256` (RFC 5487).
    PskGcm,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8` (RFC 7251), which CoAP demands.
    EcdsaCcm8,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` (RFC 5289).
    EcdsaGcm,
}

impl Suite {
    /// All, those of certificates first: who has both proves more with one.
    pub const ALL: [Self; 4] = [Self::EcdsaCcm8, Self::EcdsaGcm, Self::PskCcm8, Self::PskGcm];

    /// The number that stands for it in a hello.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::PskCcm8 => 0xC0A8,
            Self::PskGcm => 0x00A8,
            Self::EcdsaCcm8 => 0xC0AE,
            Self::EcdsaGcm => 0xC02B,
        }
    }

    /// The suite with this number.
    #[must_use]
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// Whether a key that both have proves who they are; else certificates do.
    #[must_use]
    pub const fn is_psk(self) -> bool {
        matches!(self, Self::PskCcm8 | Self::PskGcm)
    }

    /// Whether records are protected by CCM with a tag of 8 bytes; else by GCM.
    pub(crate) const fn is_ccm(self) -> bool {
        matches!(self, Self::PskCcm8 | Self::EcdsaCcm8)
    }
}
