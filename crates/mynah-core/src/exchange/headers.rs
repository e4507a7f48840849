//! What a binding of a headers exchange asks for.

use alloc::boxed::Box;

use mynah_model::{Argument, Properties};

/// Whether a message has what the arguments ask for: all of it, or with `x-match` of `any` something of it. Arguments whose
/// names begin with `x-` ask for nothing, unless `x-match` is `all-with-x` or `any-with-x`. One without a value asks only
/// that the header is there. A binding that asks for nothing gets everything, or with `any` nothing.
pub(super) fn are_met(arguments: &[(Box<str>, Argument)], properties: &Properties<'_>) -> bool {
    let mode = arguments.iter().find(|(name, _)| **name == *"x-match").map(|(_, mode)| mode);
    let mode = match mode {
        Some(Argument::Text(mode)) => mode,
        _ => "all",
    };
    let with_x = mode.ends_with("-with-x");
    let asks = |name: &str| name != "x-match" && (with_x || !name.starts_with("x-"));
    let mut wanted = arguments.iter().filter(|(name, _)| asks(name));
    let is_there = |(name, wanted): &(Box<str>, Argument)| {
        let mut values = properties.user.iter().filter(|(key, _)| **key == **name).map(|(_, value)| value);
        match wanted {
            Argument::Null => values.next().is_some(),
            wanted => values.next().is_some_and(|value| wanted.equals(value)),
        }
    };
    if mode.starts_with("any") { wanted.any(is_there) } else { wanted.all(is_there) }
}

/// Whether `x-match` says something that is known.
pub(super) fn are_readable(arguments: &[(Box<str>, Argument)]) -> bool {
    let known = ["all", "any", "all-with-x", "any-with-x"];
    arguments.iter().filter(|(name, _)| **name == *"x-match").all(|(_, mode)| match mode {
        Argument::Text(mode) => known.contains(&&**mode),
        _ => false,
    })
}
