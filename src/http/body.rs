//! Message bodies: how long they are (RFC 9112 §6) and the chunked coding (RFC 9112 §7.1).

use std::fmt;
use std::ops::Range;

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
#[derive(Debug)]
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
    /// Where in the input body data lies; empty when there was none.
    pub data: Range<usize>,
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

    /// Reads `input` up to the end of the first run of body data, or of the body, or of the
    /// input. Bytes after the body are not touched.
    ///
    /// # Errors
    /// The body is malformed; nothing more can be read from it.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
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
                        data: at..end,
                    });
                }
                Chunk::Done => break,
                framing => self.state = self.framing_byte(framing, byte)?,
            }
            at += 1;
        }
        Ok(Piece {
            consumed: at,
            data: at..at,
        })
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
                data.extend_from_slice(&part[at..][piece.data]);
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
        assert_eq!(piece.data, 18..21);
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
}
