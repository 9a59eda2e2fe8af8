//! The words that numbers are made of.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One to nineteen.
const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// Twenty to ninety.
const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
/// With the zeros of each.
const POWERS: [(&str, usize); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];
/// Ordinals that are no name with an ending.
const IRREGULAR: [(&str, u32, &str); 6] = [
    ("zeroth", 0, "th"),
    ("first", 1, "st"),
    ("second", 2, "nd"),
    ("third", 3, "rd"),
    ("fifth", 5, "th"),
    ("twelfth", 12, "th"),
];
const OTHERS: [(&str, Role); 21] = [
    ("o", Role::Zero),
    ("oh", Role::Zero),
    ("zero", Role::Zero),
    ("minus", Role::Sign('-')),
    ("negative", Role::Sign('-')),
    ("plus", Role::Sign('+')),
    ("positive", Role::Sign('+')),
    ("pound", Role::Currency('£')),
    ("pounds", Role::Currency('£')),
    ("euro", Role::Currency('€')),
    ("euros", Role::Currency('€')),
    ("dollar", Role::Currency('$')),
    ("dollars", Role::Currency('$')),
    ("cent", Role::Currency('¢')),
    ("cents", Role::Currency('¢')),
    ("per", Role::Per),
    ("percent", Role::Percent),
    ("and", Role::And),
    ("double", Role::Repeat(2)),
    ("triple", Role::Repeat(3)),
    ("point", Role::Point),
];

/// What a word does in a number. An ending, such as that of "fifth" or "fifties", ends the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Zero,
    /// Less than a hundred, with its ending.
    Amount(u32, &'static str),
    /// One with so many zeros, with its ending.
    Power(usize, &'static str),
    /// Stands before its number.
    Sign(char),
    /// Stands behind its number and is written before it.
    Currency(char),
    /// "per cent".
    Per,
    Percent,
    And,
    /// "double oh".
    Repeat(usize),
    Point,
}

impl Role {
    /// What the word does, if it can be part of a number.
    pub fn of(word: &str) -> Option<Role> {
        ROLES.get(word).copied()
    }

    /// One to nineteen, without an ending.
    pub fn is_one(self) -> bool {
        matches!(self, Role::Amount(..20, ""))
    }

    /// Twenty to ninety, without an ending.
    pub fn is_ten(self) -> bool {
        matches!(self, Role::Amount(20.., ""))
    }

    /// Hundred and above, without an ending.
    pub fn is_power(self) -> bool {
        matches!(self, Role::Power(_, ""))
    }

    /// What may follow a point.
    pub fn is_decimal(self) -> bool {
        matches!(self, Role::Zero) || self.is_one() || self.is_ten()
    }
}

static ROLES: LazyLock<HashMap<String, Role>> = LazyLock::new(|| {
    let irregular = IRREGULAR.map(|(word, n, ending)| (word.into(), Role::Amount(n, ending)));
    let others = OTHERS.map(|(word, role)| (word.into(), role));
    let ones = (1..).zip(ONES).flat_map(|(n, name)| ones(n, name));
    let tens = (2..).zip(TENS).flat_map(|(n, name)| tens(10 * n, name));
    let powers = POWERS.into_iter().flat_map(|(name, zeros)| {
        ["", "s", "th"].map(|ending| (format!("{name}{ending}"), Role::Power(zeros, ending)))
    });
    let regular = ones.chain(tens).chain(powers);
    regular.chain(irregular).chain(others).collect()
});

fn ones(n: u32, name: &str) -> Vec<(String, Role)> {
    let plural = if name == "six" {
        "sixes".into()
    } else {
        format!("{name}s")
    };
    let mut words = vec![
        (name.into(), Role::Amount(n, "")),
        (plural, Role::Amount(n, "s")),
    ];
    let is_regular = n > 3 && IRREGULAR.iter().all(|(_, irregular, _)| *irregular != n);
    if is_regular {
        let ending = if name.ends_with('t') { "h" } else { "th" };
        words.push((format!("{name}{ending}"), Role::Amount(n, "th")));
    }
    words
}

fn tens(n: u32, name: &str) -> [(String, Role); 3] {
    let stem = name.trim_end_matches('y');
    [
        (name.into(), Role::Amount(n, "")),
        (format!("{stem}ies"), Role::Amount(n, "s")),
        (format!("{stem}ieth"), Role::Amount(n, "th")),
    ]
}
