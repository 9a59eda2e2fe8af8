//! A number while it is being said. Numbers may be of any size, so they are kept in decimal digits.

use super::amounts::Role;

/// What was said of a number so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A whole number, which words may still add to. Digits without zeros in front.
    Whole(String),
    /// Figures in the order they were said, maybe with points: "1 0 1", "2.5".
    Figures(String),
}

impl Value {
    /// One with so many zeros.
    pub fn power(zeros: usize) -> Value {
        Value::Whole(format!("1{}", "0".repeat(zeros)))
    }

    /// A number that was written in figures; a fraction keeps its form.
    pub fn written(figures: &str) -> Value {
        let (whole, decimals) = figures.split_once('.').unwrap_or((figures, ""));
        match decimals.bytes().all(|digit| digit == b'0') {
            true => Value::Whole(without_leading_zeros(whole)),
            false => Value::Figures(figures.into()),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Value::Whole(text) | Value::Figures(text) => text,
        }
    }

    /// Figures that follow, whatever was said before. A whole zero is as nothing.
    pub fn followed_by(value: Option<Value>, figures: &str) -> Value {
        let before = value.filter(|value| *value != Value::Whole("0".into()));
        let before = before.as_ref().map_or("", Value::text);
        Value::Figures(format!("{before}{figures}"))
    }

    /// The number with `n` of below 100: added where it has room, as "twenty" has for "one", else behind
    /// it, as in "nineteen ninety". `before`: the word before.
    pub fn with(value: Option<Value>, n: u32, before: Option<Role>) -> Value {
        let figures = n.to_string();
        match value {
            None => Value::Whole(figures),
            Some(Value::Figures(said)) if n < 10 && before.is_some_and(Role::is_ten) => {
                Value::Figures(format!("{}{figures}", &said[..said.len() - 1]))
            }
            Some(Value::Whole(said)) if !before.is_some_and(Role::is_one) => {
                let room = &"00"[..figures.len()];
                match said.strip_suffix(room) {
                    Some(rest) => Value::Whole(format!("{rest}{figures}")),
                    None if said == "0" => Value::Whole(figures),
                    None => Value::Figures(format!("{said}{figures}")),
                }
            }
            Some(value) => Value::Figures(format!("{}{figures}", value.text())),
        }
    }

    /// The number times one with so many zeros, in digits, if that is whole. Of a whole number only the
    /// last three digits are multiplied: the thousands were said before.
    pub fn times_power(&self, zeros: usize) -> Option<String> {
        match self {
            Value::Whole(digits) => {
                let (before, rest) = digits.split_at(digits.len().saturating_sub(3));
                let before = format!("{before}000");
                Some(sum(&before, &format!("{rest}{}", "0".repeat(zeros))))
            }
            Value::Figures(figures) => {
                let (whole, decimals) = figures.split_once('.').unwrap_or((figures, ""));
                let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                let decimals = decimals.trim_end_matches('0');
                let missing = zeros.checked_sub(decimals.len())?;
                let is_number = digits(whole) && digits(decimals) && figures != ".";
                let all = format!("{whole}{decimals}{}", "0".repeat(missing));
                is_number.then(|| without_leading_zeros(&all))
            }
        }
    }
}

/// The same number; all zeros are one.
pub fn without_leading_zeros(digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".into(),
        rest => rest.into(),
    }
}

/// Of two numbers in digits.
fn sum(a: &str, b: &str) -> String {
    let digit = |text: &str, place: usize| {
        let byte = text
            .len()
            .checked_sub(place + 1)
            .map(|at| text.as_bytes()[at]);
        byte.map_or(0, |byte| byte - b'0')
    };
    let mut carry = 0;
    let mut digits: Vec<char> = (0..=a.len().max(b.len()))
        .map(|place| {
            let all = digit(a, place) + digit(b, place) + carry;
            carry = all / 10;
            char::from(b'0' + all % 10)
        })
        .collect();
    digits.reverse();
    without_leading_zeros(&String::from_iter(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_multiplied_and_added() {
        let whole = |digits: &str| Value::Whole(digits.into());
        let figures = |digits: &str| Value::Figures(digits.into());
        for (value, zeros, product) in [
            (whole("12"), 3, Some("12000")),
            (whole("1999"), 6, Some("999001000")),
            (whole("0"), 2, Some("0")),
            (figures("2.50"), 6, Some("2500000")),
            (figures("2.555"), 2, None),
            (figures("1.2.3"), 6, None),
            (figures(".5"), 3, Some("500")),
        ] {
            assert_eq!(value.times_power(zeros).as_deref(), product, "{value:?}");
        }
        let huge = format!("9{}", "0".repeat(40));
        assert_eq!(sum(&huge, &huge), format!("18{}", "0".repeat(40)));
    }
}
