//! Message bodies: how long they are (RFC 9112 §6) and the chunked coding (RFC 9112 §7.1).

use std::fmt::{self, Write};
use std::ops::Range;

use crate::buf::Buf;

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`: this many bytes follow.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends with the connection; answers only.
    UntilClose,
}

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The chunk size is missing, is not hexadecimal, or has more than 16 digits.
    Size,
    /// A line does not end in CRLF, or holds a control character.
    Line,
    /// Extensions or trailers are longer than anyone needs.
    TooLong,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChunkError::Size => "bad chunk size",
            ChunkError::Line => "bad line in chunked body",
            ChunkError::TooLong => "chunk extensions or trailers too long",
        })
    }
}

impl std::error::Error for ChunkError {}

/// Bytes of extensions and trailers that one body may have in all; both are dropped.
const MAX_DROPPED: u32 = 16 * 1024;

/// Hexadecimal digits in the largest 64-bit chunk size.
const MAX_SIZE_DIGITS: u8 = 16;

/// Decodes the chunked coding, one piece at a time, without copying.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: Chunk,
    dropped: u32,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// What one call of [`ChunkDecoder::decode`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// What has been read whole with the last of them.
    pub part: Part,
}

/// A part of a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// None: the input has ended inside one.
    Incomplete,
    /// The line with the size of a chunk, which is not zero.
    Size(u64),
    /// A run of body data: where in the input it lies.
    Data(Range<usize>),
    /// The line end behind a chunk's data.
    DataEnd,
    /// The last chunk and all that follows it.
    Last,
}

impl ChunkDecoder {
    /// At the start of a body.
    pub fn new() -> ChunkDecoder {
        ChunkDecoder {
            state: Chunk::Size { digits: 0, size: 0 },
            dropped: 0,
        }
    }

    /// Whether the last chunk and its trailers have been read.
    pub fn is_done(&self) -> bool {
        self.state == Chunk::Done
    }

    /// Whether the next byte begins a part, or goes on with data.
    fn is_between_parts(&self) -> bool {
        matches!(
            self.state,
            Chunk::Size { digits: 0, .. } | Chunk::Data { .. } | Chunk::DataCr
        )
    }

    /// Reads `input` up to the end of its first part, or of the input. Bytes after the body are
    /// not touched.
    ///
    /// # Errors
    /// The body is malformed; nothing more can be read from it.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            let before = self.state;
            match before {
                Chunk::Data { left } => {
                    let rest = (input.len() - at) as u64;
                    let take = left.min(rest);
                    self.state = match left - take {
                        0 => Chunk::DataCr,
                        left => Chunk::Data { left },
                    };
                    let end = at + take as usize; // take <= rest, which is a usize
                    return Ok(Piece {
                        consumed: end,
                        part: Part::Data(at..end),
                    });
                }
                Chunk::Done => break,
                framing => self.state = self.framing_byte(framing, byte)?,
            }
            at += 1;
            let part = match (before, self.state) {
                (Chunk::SizeLf { size }, Chunk::Data { .. }) => Part::Size(size),
                (Chunk::DataLf, _) => Part::DataEnd,
                (_, Chunk::Done) => Part::Last,
                _ => continue,
            };
            return Ok(Piece { consumed: at, part });
        }
        Ok(Piece {
            consumed: at,
            part: Part::Incomplete,
        })
    }

    /// Whether `input` may go on as it is, none of it held back or left out: its framing is what
    /// [`write_part`] would make of it, and it neither begins nor ends inside a line, nor holds
    /// the end of the body. Says how many bytes of it are data, and has read it then.
    fn pass_whole(&mut self, input: &[u8]) -> Option<usize> {
        let mut ahead = self.clone();
        let (mut at, mut data) = (0, 0);
        while ahead.is_between_parts() && at < input.len() {
            let rest = input.get(at..)?;
            let piece = ahead.decode(rest).ok()?;
            match piece.part {
                Part::Size(size) if !is_plain_size(rest.get(..piece.consumed)?, size) => {
                    return None;
                }
                Part::Size(_) | Part::DataEnd => {}
                Part::Data(range) => data += range.len(),
                Part::Incomplete | Part::Last => return None,
            }
            at += piece.consumed;
        }
        if at < input.len() {
            return None;
        }
        *self = ahead;
        Some(data)
    }

    /// The state after one byte that is not data.
    fn framing_byte(&mut self, state: Chunk, byte: u8) -> Result<Chunk, ChunkError> {
        Ok(match (state, byte) {
            (Chunk::Size { digits, size }, b'\r') if digits > 0 => Chunk::SizeLf { size },
            (Chunk::Size { digits, size }, b';') if digits > 0 => Chunk::Extension { size },
            (Chunk::Size { digits, size }, _) => {
                let digit = (byte as char).to_digit(16).ok_or(ChunkError::Size)?;
                if digits == MAX_SIZE_DIGITS {
                    return Err(ChunkError::Size);
                }
                Chunk::Size {
                    digits: digits + 1,
                    size: size << 4 | u64::from(digit),
                }
            }
            (Chunk::Extension { size }, b'\r') => Chunk::SizeLf { size },
            (Chunk::Extension { size }, _) => {
                self.drop_byte(byte)?;
                Chunk::Extension { size }
            }
            (Chunk::SizeLf { size: 0 }, b'\n') => Chunk::TrailerStart,
            (Chunk::SizeLf { size }, b'\n') => Chunk::Data { left: size },
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size { digits: 0, size: 0 },
            (Chunk::TrailerStart, b'\r') => Chunk::LastLf,
            (Chunk::Trailer, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerStart | Chunk::Trailer, _) => {
                self.drop_byte(byte)?;
                Chunk::Trailer
            }
            (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
            (Chunk::LastLf, b'\n') => Chunk::Done,
            _ => return Err(ChunkError::Line),
        })
    }

    /// Counts a byte of an extension or a trailer, which nobody will see.
    fn drop_byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        if byte != b'\t' && byte.is_ascii_control() {
            return Err(ChunkError::Line);
        }
        self.dropped += 1;
        if self.dropped > MAX_DROPPED {
            return Err(ChunkError::TooLong);
        }
        Ok(())
    }
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        ChunkDecoder::new()
    }
}

/// A body on its way through: read in the framing it came in, written in the one it leaves in.
#[derive(Debug)]
pub enum Body {
    /// This many bytes are still to come.
    Length(u64),
    /// Chunked, and how far it has been read.
    Chunked(ChunkDecoder),
    /// Until the connection ends.
    UntilClose,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// In the chunks in which it came, without extensions and trailers.
    Chunked,
}

/// What one call of [`Body::forward`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// Bytes of the body among them.
    pub payload: usize,
    /// Whether the body has ended, and its end been written.
    pub done: bool,
}

/// The longest line that is written whole: a size of 16 digits.
const MAX_LINE: usize = MAX_SIZE_DIGITS as usize + 2;

impl Body {
    /// The body that `framing` announces; `None` where there is nothing to come.
    pub fn new(framing: Framing) -> Option<Body> {
        match framing {
            Framing::None | Framing::Length(0) => None,
            Framing::Length(length) => Some(Body::Length(length)),
            Framing::Chunked => Some(Body::Chunked(ChunkDecoder::new())),
            Framing::UntilClose => Some(Body::UntilClose),
        }
    }

    /// Whether all of `input` may be written as it is, and more is to follow: how many bytes of it
    /// are the body's. They are dealt with then.
    pub fn pass_whole(&mut self, input: &[u8], coding: Coding) -> Option<usize> {
        match (self, coding) {
            (Body::Length(left), _) if *left > input.len() as u64 => {
                *left -= input.len() as u64;
                Some(input.len())
            }
            (Body::UntilClose, _) => Some(input.len()),
            (Body::Chunked(decoder), Coding::Chunked) => decoder.pass_whole(input),
            _ => None,
        }
    }

    /// Copies what `input` holds of the body to `out`, as much as `out` has room for. Bytes after
    /// the body are not touched.
    ///
    /// # Errors
    /// The chunked coding is broken.
    pub fn forward(
        &mut self,
        input: &[u8],
        coding: Coding,
        out: &mut Buf,
    ) -> Result<Forwarded, ChunkError> {
        let mut forwarded = Forwarded {
            consumed: 0,
            payload: 0,
            done: false,
        };
        while !forwarded.done && out.room() >= MAX_LINE {
            let rest = input.get(forwarded.consumed..).unwrap_or_default();
            let Some(rest) = rest
                .get(..rest.len().min(out.room()))
                .filter(|rest| !rest.is_empty())
            else {
                break;
            };
            let piece = self.next_piece(rest)?;
            forwarded.payload += write_part(&piece.part, rest, coding, out);
            forwarded.consumed += piece.consumed;
            forwarded.done = self.is_done();
        }
        Ok(forwarded)
    }

    fn next_piece(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let consumed = match self {
            Body::Chunked(decoder) => return decoder.decode(input),
            Body::UntilClose => input.len(),
            Body::Length(left) => {
                let take = (*left).min(input.len() as u64);
                *left -= take;
                take as usize // at most input.len()
            }
        };
        Ok(Piece {
            consumed,
            part: Part::Data(0..consumed),
        })
    }

    fn is_done(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(decoder) => decoder.is_done(),
            Body::UntilClose => false,
        }
    }
}

/// Writes one part, for which the caller has made room; says how many bytes of data it was.
fn write_part(part: &Part, input: &[u8], coding: Coding, out: &mut Buf) -> usize {
    match (part, coding) {
        (Part::Data(range), _) => return out.put(input.get(range.clone()).unwrap_or_default()),
        (Part::Size(size), Coding::Chunked) => {
            let _ = write!(out, "{size:x}\r\n");
        }
        (Part::DataEnd, Coding::Chunked) => {
            out.put(b"\r\n");
        }
        (Part::Last, Coding::Chunked) => {
            out.put(b"0\r\n\r\n");
        }
        (Part::Incomplete, _) | (_, Coding::Identity) => {}
    }
    0
}

/// Whether `line` is what [`write_part`] writes for `size`: without extension, leading zeros and
/// upper case.
fn is_plain_size(line: &[u8], size: u64) -> bool {
    let digits = (size.max(1).ilog2() / 4 + 1) as usize;
    line.len() == digits + 2 && !line.iter().any(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` in reads of `step` bytes; the data and how much of the input was used.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let mut decoder = ChunkDecoder::new();
        let mut data = Vec::new();
        let mut used = 0;
        for part in input.chunks(step) {
            let mut at = 0;
            while at < part.len() && !decoder.is_done() {
                let piece = decoder.decode(&part[at..])?;
                if let Part::Data(range) = piece.part {
                    data.extend_from_slice(&part[at..][range]);
                }
                at += piece.consumed;
            }
            used += at;
        }
        Ok((data, used, decoder.is_done()))
    }

    /// The case whole, byte by byte and with trailing bytes.
    fn check(input: &[u8], expected: Result<&[u8], ChunkError>) {
        for step in [usize::MAX >> 1, 1, 2, 7] {
            let outcome = decode(input, step);
            match expected {
                Ok(data) => {
                    assert_eq!(
                        outcome,
                        Ok((data.to_vec(), input.len(), true)),
                        "step {step}"
                    );
                    let trailing = [input, b"GET / HTTP/1.1\r\n"].concat();
                    assert_eq!(
                        decode(&trailing, step),
                        Ok((data.to_vec(), input.len(), true))
                    );
                }
                Err(error) => assert_eq!(outcome.unwrap_err(), error, "step {step}"),
            }
        }
    }

    #[test]
    fn well_formed_bodies() {
        check(b"0\r\n\r\n", Ok(b""));
        check(b"5\r\nhello\r\n0\r\n\r\n", Ok(b"hello"));
        check(
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            Ok(b"hello world"),
        );
        check(
            b"00000000000000a\r\n0123456789\r\n000\r\n\r\n",
            Ok(b"0123456789"),
        );
        check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok(b"0123456789"));
        check(b"1;name=value;x\r\nz\r\n0;last\r\n\r\n", Ok(b"z"));
        check(b"1\r\nz\r\n0\r\nTrailer: 1\r\nOther:\t2\r\n\r\n", Ok(b"z"));
        check(b"2\r\n\r\n\r\n0\r\n\r\n", Ok(b"\r\n"));
    }

    #[test]
    fn malformed_bodies() {
        for (input, error) in [
            (&b"\r\nhello"[..], ChunkError::Size),
            (b"g\r\n", ChunkError::Size),
            (b"+5\r\nhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b"0x5\r\nhello\r\n", ChunkError::Size),
            (b" 5\r\nhello\r\n", ChunkError::Size),
            (b"5 \r\nhello\r\n", ChunkError::Size),
            (b"5 ;x\r\nhello\r\n", ChunkError::Size),
            (b";x\r\n", ChunkError::Size),
            (b"00000000000000000\r\n\r\n", ChunkError::Size),
            (b"10000000000000000\r\n", ChunkError::Size),
            (b"5\nhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"5\rhello", ChunkError::Line),
            (b"5;x\ny\r\nhello", ChunkError::Line),
            (b"5;\0\r\nhello", ChunkError::Line),
            (b"5\r\nhello0\r\n\r\n", ChunkError::Line),
            (b"5\r\nhello\n0\r\n\r\n", ChunkError::Line),
            (b"5\r\nhello\r0\r\n\r\n", ChunkError::Line),
            (b"0\r\nA: b\nC: d\r\n\r\n", ChunkError::Line),
            (b"0\r\n\rX", ChunkError::Line),
        ] {
            check(input, Err(error));
        }
    }

    #[test]
    fn a_size_of_sixteen_digits_is_the_largest() {
        let mut decoder = ChunkDecoder::new();
        let piece = decoder.decode(b"ffffffffffffffff\r\nabc").unwrap();
        assert_eq!(piece.part, Part::Size(u64::MAX));
        assert_eq!(decoder.decode(b"abc").unwrap().part, Part::Data(0..3));
    }

    #[test]
    fn what_is_dropped_is_bounded() {
        let long = "x".repeat(MAX_DROPPED as usize + 1);
        check(
            format!("1;{long}\r\nz").as_bytes(),
            Err(ChunkError::TooLong),
        );
        check(
            format!("0\r\n{long}: y\r\n\r\n").as_bytes(),
            Err(ChunkError::TooLong),
        );
        let many = "1;xxxxxxxx\r\nz\r\n".repeat(MAX_DROPPED as usize / 8 + 1);
        check(many.as_bytes(), Err(ChunkError::TooLong));
    }

    /// Forwards `input` in reads of `step` bytes into a sink that is emptied every `drain` bytes.
    fn forward(
        framing: Framing,
        coding: Coding,
        input: &[u8],
        step: usize,
        room: usize,
    ) -> (Vec<u8>, usize, bool) {
        let mut body = Body::new(framing).expect("a body");
        let mut out = Buf::new(room);
        let (mut written, mut used, mut done) = (Vec::new(), 0, false);
        while used < input.len() && !done {
            let end = input.len().min(used + step);
            let forwarded = body.forward(&input[used..end], coding, &mut out).unwrap();
            used += forwarded.consumed;
            done = forwarded.done;
            written.extend_from_slice(out.data());
            assert!(done || forwarded.consumed > 0, "no progress");
            out.clear();
        }
        (written, used, done)
    }

    #[test]
    fn a_body_is_forwarded_in_the_coding_asked_for() {
        let chunked = b"5;x\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n";
        for step in [1, 3, 1000] {
            for room in [MAX_LINE, MAX_LINE + 7, 1000] {
                let (written, used, done) =
                    forward(Framing::Chunked, Coding::Identity, chunked, step, room);
                assert_eq!(
                    (&written[..], used, done),
                    (&b"hello world"[..], chunked.len(), true)
                );
                let (written, used, done) =
                    forward(Framing::Chunked, Coding::Chunked, chunked, step, room);
                assert_eq!(
                    (&written[..], used, done),
                    (
                        &b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"[..],
                        chunked.len(),
                        true
                    )
                );
                let (written, used, done) = forward(
                    Framing::Length(5),
                    Coding::Identity,
                    b"hello world",
                    step,
                    room,
                );
                assert_eq!((&written[..], used, done), (&b"hello"[..], 5, true));
                let (written, used, done) =
                    forward(Framing::UntilClose, Coding::Identity, b"hello", step, room);
                assert_eq!((&written[..], used, done), (&b"hello"[..], 5, false));
            }
        }
    }

    #[test]
    fn nothing_is_taken_that_has_no_room() {
        let mut out = Buf::new(MAX_LINE - 1);
        let forwarded = Body::Length(5)
            .forward(b"hello", Coding::Identity, &mut out)
            .unwrap();
        assert_eq!(forwarded.consumed, 0);
    }

    /// However a chunked body is cut, what passes whole and what is forwarded join to its plain form.
    #[test]
    fn what_passes_whole_is_what_would_be_written() {
        let came = b"5\r\nhello\r\n06\r\n world\r\nA\r\n0123456789\r\n10\r\n0123456789abcdef\r\n\
            3;x=y\r\nabc\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n";
        let plain = b"5\r\nhello\r\n6\r\n world\r\na\r\n0123456789\r\n10\r\n0123456789abcdef\r\n\
            3\r\nabc\r\n1\r\n!\r\n0\r\n\r\n";
        let mut passed = 0;
        for first in 0..came.len() {
            for second in first..came.len() {
                let mut body = Body::new(Framing::Chunked).expect("a body");
                let (mut written, mut payload) = (Vec::new(), 0);
                for part in [&came[..first], &came[first..second], &came[second..]] {
                    if let Some(data) = body.pass_whole(part, Coding::Chunked) {
                        written.extend_from_slice(part);
                        (payload, passed) = (payload + data, passed + part.len());
                        continue;
                    }
                    let mut out = Buf::new(1000);
                    let forwarded = body.forward(part, Coding::Chunked, &mut out).unwrap();
                    assert_eq!(forwarded.consumed, part.len());
                    written.extend_from_slice(out.data());
                    payload += forwarded.payload;
                }
                assert_eq!(written, plain, "cut at {first} and {second}");
                assert_eq!(payload, 5 + 6 + 10 + 16 + 3 + 1);
            }
        }
        assert!(passed > 0);
    }

    #[test]
    fn a_body_of_known_length_passes_whole_but_for_its_end() {
        let mut body = Body::Length(10);
        assert_eq!(body.pass_whole(b"0123", Coding::Identity), Some(4));
        assert_eq!(body.pass_whole(b"012345", Coding::Identity), None);
        assert_eq!(body.pass_whole(b"01234", Coding::Identity), Some(5));
        assert_eq!(body.pass_whole(b"012", Coding::Identity), None);
        let mut chunked = Body::new(Framing::Chunked).expect("a body");
        assert_eq!(chunked.pass_whole(b"1\r\nx", Coding::Identity), None);
    }
}
