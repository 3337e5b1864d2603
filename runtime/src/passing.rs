//! Descriptors between a value and the message that carries it: those that are met while the value is
//! encoded go with its bytes, and those that came with the bytes are there while they are decoded. Without
//! the feature `descriptors` there are none. Knows no link.

use hatchery_proto::Passed;

use crate::codec::CodecError;

/// Has `f` encode a value; gives the descriptors that are in it.
#[cfg(feature = "descriptors")]
pub(crate) fn collecting(f: impl FnOnce() -> Result<(), CodecError>) -> Result<Passed, CodecError> {
    let scope = crate::descriptor::Scope::collect();
    let encoded = f();
    let (passed, why) = scope.collected();
    // Not every codec's error has words of its own.
    encoded.map(|()| passed).map_err(|error| why.map_or(error, CodecError::new))
}

#[cfg(not(feature = "descriptors"))]
pub(crate) fn collecting(f: impl FnOnce() -> Result<(), CodecError>) -> Result<Passed, CodecError> {
    f().map(|()| Passed::NONE)
}

/// Has `f` decode a value that these came with.
#[cfg(feature = "descriptors")]
pub(crate) fn within<R>(passed: &Passed, f: impl FnOnce() -> R) -> R {
    // Where there are none, a value with one finds that out as it does anywhere else.
    let _scope = (!passed.is_none()).then(|| crate::descriptor::Scope::hand_out(passed.clone()));
    f()
}

#[cfg(not(feature = "descriptors"))]
pub(crate) fn within<R>(_passed: &Passed, f: impl FnOnce() -> R) -> R {
    f()
}
