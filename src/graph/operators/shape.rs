//! The shapes of an operator's inputs: each operator states them once, and one checker compares them
//! with what the graph gives before any input is read or any output is allocated.
//!
//! A dimension with a name has the same size wherever the name stands, in a shape or in an attribute.
//! Sizes come from a model file, so no product of them is trusted to fit a machine word.

use std::fmt;

use ort::value::TensorElementType::{self, Float32, Int8, Int32, Int64, Uint8};

/// One dimension of an input, or several.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dim {
    /// This size and no other.
    Is(usize),
    /// At least 1.
    Size(&'static str),
    /// A number of times `Size`.
    Times(usize, &'static str),
    /// All dimensions up to here, which together have so many rows, at least 1.
    Rows(&'static str),
    /// As `Rows`, or 0.
    RowsOrNone(&'static str),
}

impl Dim {
    fn is_rows(self) -> bool {
        matches!(self, Dim::Rows(_) | Dim::RowsOrNone(_))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Is(n) => write!(f, "{n}"),
            Dim::Size(name) => write!(f, "{name} >= 1"),
            Dim::Times(n, name) => write!(f, "{n} {name}"),
            Dim::Rows(name) => write!(f, "({name} >= 1)..."),
            Dim::RowsOrNone(name) => write!(f, "({name})..."),
        }
    }
}

/// One input: its name in messages, its element type, its shape.
pub(super) struct Input {
    pub name: &'static str,
    pub element: TensorElementType,
    pub dims: &'static [Dim],
}

impl Input {
    const fn new(name: &'static str, element: TensorElementType, dims: &'static [Dim]) -> Input {
        Input {
            name,
            element,
            dims,
        }
    }

    pub const fn f32(name: &'static str, dims: &'static [Dim]) -> Input {
        Input::new(name, Float32, dims)
    }

    pub const fn i32(name: &'static str, dims: &'static [Dim]) -> Input {
        Input::new(name, Int32, dims)
    }

    pub const fn i64(name: &'static str, dims: &'static [Dim]) -> Input {
        Input::new(name, Int64, dims)
    }

    pub const fn i8(name: &'static str, dims: &'static [Dim]) -> Input {
        Input::new(name, Int8, dims)
    }

    pub const fn u8(name: &'static str, dims: &'static [Dim]) -> Input {
        Input::new(name, Uint8, dims)
    }
}

/// Names that an operator's shapes may have.
const NAMES: usize = 8;

/// The sizes of the names met so far; of a fixed size, for every run of every node has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    known: [(&'static str, usize); NAMES],
    n: usize,
}

impl Sizes {
    /// The size of a name that an input or an attribute has.
    pub fn get(&self, name: &str) -> usize {
        self.find(name).expect("a name of a checked shape")
    }

    fn find(&self, name: &str) -> Option<usize> {
        let found = self.known[..self.n]
            .iter()
            .find(|(known, _)| *known == name);
        found.map(|&(_, size)| size)
    }

    /// Whether `name` can have this size; a new name gets it.
    pub fn bind(&mut self, name: &'static str, size: usize) -> bool {
        match self.find(name) {
            Some(known) => known == size,
            None => {
                self.known[self.n] = (name, size);
                self.n += 1;
                true
            }
        }
    }

    /// Compares input `i`, of the shape `found`, with what is expected; returns its elements.
    pub fn check(&mut self, i: usize, input: &Input, found: &[i64]) -> Result<usize, String> {
        let before = self.n;
        let fits = self.fits(input.dims, found);
        let elements = fits.and_then(|()| product(found));
        elements.ok_or_else(|| {
            let dims: Vec<String> = input.dims.iter().map(Dim::to_string).collect();
            let known: Vec<String> = self.known[..before]
                .iter()
                .map(|(name, size)| format!("{name} = {size}"))
                .collect();
            let known = match &known[..] {
                [] => String::new(),
                known => format!(" where {}", known.join(", ")),
            };
            let (name, dims) = (input.name, dims.join(", "));
            format!("input {i} ({name}) has the shape {found:?}, expected [{dims}]{known}")
        })
    }

    fn fits(&mut self, dims: &[Dim], found: &[i64]) -> Option<()> {
        let last = match dims.first() {
            Some(rows) if rows.is_rows() => dims.len() - 1,
            _ => dims.len(),
        };
        let leading = found.len().checked_sub(last)?;
        if last == dims.len() && leading > 0 {
            return None;
        }
        let (rows, found) = found.split_at(leading);
        let (first, dims) = dims.split_at(dims.len() - last);
        for dim in first {
            self.fits_one(*dim, product(rows)?)?;
        }
        for (dim, &found) in dims.iter().zip(found) {
            self.fits_one(*dim, usize::try_from(found).ok()?)?;
        }
        Some(())
    }

    fn fits_one(&mut self, dim: Dim, found: usize) -> Option<()> {
        let fits = match dim {
            Dim::Is(n) => n == found,
            Dim::Size(name) | Dim::Rows(name) => found > 0 && self.bind(name, found),
            Dim::RowsOrNone(name) => self.bind(name, found),
            Dim::Times(n, name) => {
                found > 0 && found.is_multiple_of(n) && self.bind(name, found / n)
            }
        };
        fits.then_some(())
    }
}

/// The elements of a shape; `None` where a size is negative or they overflow.
pub(super) fn product(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &size| {
        product.checked_mul(usize::try_from(size).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::Dim::*;
    use super::*;

    const X: Input = Input::f32("x", &[RowsOrNone("rows"), Times(4, "fours")]);
    const WEIGHT: Input = Input::f32("weight", &[Size("columns"), Size("fours"), Is(4)]);

    #[test]
    fn a_name_has_one_size() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.check(0, &X, &[2, 3, 8]), Ok(48));
        assert_eq!(sizes.check(1, &WEIGHT, &[5, 2, 4]), Ok(40));
        assert_eq!((sizes.get("rows"), sizes.get("columns")), (6, 5));
        assert_eq!(
            sizes.check(1, &WEIGHT, &[5, 3, 4]),
            Err("input 1 (weight) has the shape [5, 3, 4], expected [columns >= 1, fours >= 1, 4] where rows = 6, fours = 2, columns = 5".into())
        );
    }

    #[test]
    fn ranks_and_sizes_that_do_not_fit_are_refused() {
        for shape in [
            &[][..],
            &[7],
            &[0],
            &[-4],
            &[-1, 8],
            &[i64::MAX, 4],
            &[i64::MIN, 4],
            &[1 << 40, 1 << 40, 8],
            &[1 << 62, 4],
        ] {
            assert!(Sizes::default().check(0, &X, shape).is_err(), "{shape:?}");
        }
        for shape in [
            &[][..],
            &[1],
            &[1, 1],
            &[1, 1, 5],
            &[0, 1, 4],
            &[1, 1, 1, 4],
        ] {
            assert!(
                Sizes::default().check(0, &WEIGHT, shape).is_err(),
                "{shape:?}"
            );
        }
        assert_eq!(Sizes::default().check(0, &X, &[0, 4]), Ok(0));
        assert_eq!(Sizes::default().check(0, &X, &[4]), Ok(4));
    }
}
