//! Names that a model folder gives: which of them name a file inside it, and how any text is shown.
//!
//! A model folder may come from anywhere. A name in it must not lead out of the folder, on any
//! system, and a text in it must not move the cursor of the terminal it is printed to.

/// Characters of an error that comes from outside; what is longer is cut.
const LONGEST_LINE: usize = 600;

/// Names that Windows takes for devices, with any ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Refuses a name that is not the path of a file inside the folder, on every system.
pub(crate) fn inside(name: &str) -> std::result::Result<(), String> {
    let refused = |why: &str| {
        Err(format!(
            "the file name {} {why}; a model's files lie in its own folder",
            one_line(&format!("{name:?}"))
        ))
    };
    if name.is_empty() || name.len() > 255 {
        return refused("is empty or longer than 255 bytes");
    }
    if !is_printable(name) || name.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) {
        return refused("has a character that file names have on no system");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("leads out of the folder, or is no plain path");
    }
    if name.split('/').any(is_odd) {
        return refused("is a device, or ends in a blank or a full stop");
    }
    Ok(())
}

/// A part of a path that Windows opens as something else than it is called.
fn is_odd(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or("").to_ascii_lowercase();
    let port = stem.strip_prefix("com").or(stem.strip_prefix("lpt"));
    let is_port = port.is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    part.ends_with(['.', ' ']) || DEVICES.contains(&stem.as_str()) || is_port
}

/// Whether a text shows as it is: no control characters, none that turn the line around.
pub(crate) fn is_printable(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// A text from outside as one line that can be shown: breaks and runs of blanks become one blank,
/// hidden characters are left out, and what is too long is cut.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        match c {
            c if c.is_whitespace() && !line.ends_with(' ') => line.push(' '),
            c if c.is_whitespace() || is_hidden(c) => {}
            c => line.push(c),
        }
        if line.len() > LONGEST_LINE {
            line.push('…');
            break;
        }
    }
    line.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_inside_the_folder_name_a_file() {
        for good in ["decoder.onnx", "a/b.data", "..data", "über.onnx", "console"] {
            assert_eq!(inside(good), Ok(()), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            ".",
            "..",
            "../a",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            "..\\a",
            "\\\\host\\a",
            "C:a",
            "a:b",
            "NUL",
            "con.onnx",
            "a/lpt1",
            "a.",
            "a ",
            "a\n",
            "\u{1b}[2J",
            "a\u{202e}b",
            "*",
            &long,
        ] {
            let why = inside(bad).expect_err(bad);
            assert!(is_printable(&why), "{why:?}");
        }
    }

    #[test]
    fn a_text_from_outside_becomes_one_short_line() {
        assert_eq!(one_line("a\n\n  b\u{1b}[31mc\u{202e}\r\n"), "a b[31mc");
        let long = one_line(&"é".repeat(10_000));
        assert!(long.len() < 700 && long.ends_with('…'));
    }
}
