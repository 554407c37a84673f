//! Searches that look at eight bytes at a time: of a request's head most bytes are seen only here.

const LOW: u64 = u64::MAX / 255; // 0x01 in each byte
const HIGH: u64 = LOW << 7; // 0x80 in each byte

/// Where the first LF is.
pub(super) fn line_feed(bytes: &[u8]) -> Option<usize> {
    first(
        bytes,
        |word| zeros(word ^ (LOW * u64::from(b'\n'))),
        |byte| byte == b'\n',
    )
}

/// Where the first control character is, DEL and HTAB among them.
pub(super) fn control(bytes: &[u8]) -> Option<usize> {
    first(
        bytes,
        |word| below_space(word) | zeros(word ^ (LOW * 0x7f)),
        |byte| byte.is_ascii_control(),
    )
}

/// Where the first byte is that is looked for. `in_word` marks such bytes of a word by their
/// highest bit, and only the lowest of its marks counts.
fn first(bytes: &[u8], in_word: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let marks = in_word(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&byte| is(byte))?;
    Some(words.len() * 8 + at)
}

/// Marks the zero bytes. A borrow may mark bytes above one that is zero, never below it.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Marks the bytes below SP, with the same borrow.
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(LOW * u64::from(b' ')) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "half a million searches")]
    fn each_byte_is_found_at_each_place_and_no_other() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255u8 {
                    // What borrows: one above what is looked for, behind it.
                    for filler in [b'a', b' ', 0x0b, 0x21, 0x80, 0xff] {
                        let mut bytes = vec![filler; length];
                        bytes[at] = byte;
                        assert_eq!(line_feed(&bytes), bytes.iter().position(|&b| b == b'\n'));
                        assert_eq!(control(&bytes), bytes.iter().position(u8::is_ascii_control));
                    }
                }
            }
        }
    }
}
