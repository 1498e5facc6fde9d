//! The front's reading of a client's bytes, for the fuzzer alone: the parts that it joins stay private.

use vardpuls_shared::hospital::HospitalId;

use super::connect::{Connect, MAX_CONNECT};
use super::denial::Denial;
use super::frame::{CONNECT, frame};
use super::inspector::{Filters, Inspector};
use super::rights::Rights;

/// What goes on to the broker of pieces that arrive one after the other from a client of this name, and why no more
/// does.
pub fn admit<'p>(name: &HospitalId, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Option<Denial>) {
    let mut inspector = Inspector::new(Rights::Named(name.clone()), Filters::default());
    let (mut waiting, mut on) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let (admitted, denial) = inspector.admit(&waiting);
        on.extend(waiting.drain(..admitted));
        if denial.is_some() {
            return (on, denial);
        }
    }
    (on, None)
}

/// False where these bytes are a CONNECT that is let in, and what the broker gets in its place says something else.
pub fn wish_is_kept(bytes: &[u8]) -> bool {
    let Ok(Some(packet)) = frame(bytes, MAX_CONNECT) else { return true };
    let Ok(wish) = Connect::read(packet.body) else { return true };
    let rewritten = wish.rewritten("", "front", "secret");
    let Ok(Some(again)) = frame(&rewritten, usize::MAX) else { return false };
    let kept = Connect { login: Some(("front", b"secret")), ..wish };
    (again.first, again.len) == (CONNECT, rewritten.len()) && Connect::read(again.body) == Ok(kept)
}
