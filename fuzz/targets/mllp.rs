//! MLLP: where the stream is split makes no difference, and no piece is larger than the cap.
//! The first byte chooses the cap, the second where to split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::adt::frame::{Framer, Piece, framed};

fn cut<'p>(most: usize, parts: impl Iterator<Item = &'p [u8]>) -> Vec<Piece> {
    let (mut framer, mut pieces) = (Framer::new(most), Vec::new());
    for part in parts {
        framer.push(part, &mut pieces);
    }
    pieces
}

fuzz_target!(|bytes: &[u8]| {
    let [cap, step, stream @ ..] = bytes else { return };
    let most = usize::from(*cap) + 1;
    let whole = cut(most, [stream].into_iter());
    assert_eq!(whole, cut(most, stream.chunks(usize::from(*step) + 1)));
    assert_eq!(whole, cut(most, stream.chunks(1)));
    for piece in whole {
        match piece {
            Piece::Message(body) => {
                assert!(body.len() <= most);
                let mut again = Vec::new();
                framed(&body, &mut again);
                // A message that ends as a frame does cannot be framed again without a loss.
                if !body.ends_with(b"\x1c") {
                    assert_eq!(cut(most, [again.as_slice()].into_iter()), [Piece::Message(body)]);
                }
            }
            Piece::TooLong(head) => assert!(head.len() <= most),
            Piece::Unfinished | Piece::Garbage => {}
        }
    }
});
