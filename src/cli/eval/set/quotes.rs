//! Quotation marks of a table with separators.
//!
//! A mark that is not closed takes the rows behind it into its field, and most readers take text behind a
//! closed one into the field, too. Both give other rows than those that were written, so they are refused.

/// Where a byte stands.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// At the start of a field.
    Start,
    /// Behind spaces at the start of a field.
    Indented,
    /// In a field without marks, where a mark is a character.
    Plain,
    /// Between the marks of a field.
    Quoted,
    /// Right behind a mark that closes, or the first of two that mean one.
    Closed,
    /// Behind spaces behind a closing mark.
    Ended,
}

const OPEN: &str = "a field begins with a quotation mark here, and none ends it";
const BEHIND: &str = "a field begins with a quotation mark here, and text follows the mark that ends it; \
                      marks within such a field are written twice";
const INDENTED: &str = "a space stands before the quotation mark that begins a field; take it away";

/// The first mark that makes the rows others than they look: its line, and what is wrong.
pub fn misplaced(bytes: &[u8], separator: u8) -> Option<(u64, &'static str)> {
    let (mut at, mut line, mut began) = (At::Start, 1, 1);
    for &byte in bytes {
        let is_space = matches!(byte, b' ' | b'\t');
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Closed, b'"') => At::Quoted,
            (At::Quoted, _) => At::Quoted,
            (_, b'\n' | b'\r') => At::Start,
            (_, byte) if byte == separator => At::Start,
            (At::Start, b'"') => {
                began = line;
                At::Quoted
            }
            (At::Indented, b'"') => return Some((line, INDENTED)),
            (At::Start | At::Indented, _) if is_space => At::Indented,
            (At::Closed | At::Ended, _) if is_space => At::Ended,
            (At::Closed | At::Ended, _) => return Some((began, BEHIND)),
            (At::Start | At::Indented | At::Plain, _) => At::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    (at == At::Quoted).then_some((began, OPEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_make_other_rows_are_found_in_their_line() {
        for (text, found) in [
            ("a,b\n\"x\",\"y, z\"\n", None),
            ("\"two\nlines\" ,\"\"\n", None),
            ("\"he said \"\"no\"\"\",y\n", None),
            ("a 3\" pipe,y\n", None),
            ("a\n\"x,y\nz\n", Some((2, OPEN))),
            ("a\n\"x,y\nz,\"w\"\n", Some((2, BEHIND))),
            ("\"x\" y\n", Some((1, BEHIND))),
            ("\"x\" \"y\"\n", Some((1, BEHIND))),
            ("a\nb, \"x, y\"\n", Some((2, INDENTED))),
            ("\"x\"\"", Some((1, OPEN))),
        ] {
            assert_eq!(misplaced(text.as_bytes(), b','), found, "{text:?}");
        }
        assert_eq!(misplaced(b"a\t\"b, c\"\td", b'\t'), None);
    }
}
