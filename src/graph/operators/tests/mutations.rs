//! Models and inputs changed at random, from a fixed seed: the process lives.

use super::model::{Attribute::*, Data, Given, Model};
use super::{models, runtime};

/// Pseudo-random numbers.
struct Draws(u64);

impl Draws {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % below
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())]
    }
}

/// Changes an input's shape or numbers.
fn mutate_input(draws: &mut Draws, given: &mut Given) {
    const SIZES: [usize; 12] = [0, 0, 1, 1, 2, 3, 4, 15, 16, 17, 64, 129];
    const FLOATS: [f32; 10] = [
        0.0,
        -0.0,
        1e-40,
        -1e-45,
        1e30,
        f32::MAX,
        f32::MIN,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    const INTEGERS: [i32; 10] = [-1, 0, 1, 2, 20, 21, 30, 1 << 20, i32::MIN, i32::MAX];
    let rank = given.shape.len();
    match draws.next(6) {
        0 if rank > 0 => {
            let i = draws.next(rank);
            given.shape[i] = draws.of(&SIZES);
        }
        1 if rank > 0 => {
            let i = draws.next(rank);
            given.shape[i] = given.shape[i].wrapping_add(draws.of(&[1, usize::MAX])) % 1024;
        }
        2 if rank > 0 => {
            given.shape.remove(draws.next(rank));
        }
        3 => given.shape.insert(draws.next(rank + 1), draws.of(&SIZES)),
        4 if rank > 1 => given.shape.swap(0, rank - 1),
        _ => {
            let value = (draws.of(&FLOATS), draws.of(&INTEGERS));
            match &mut given.data {
                Data::F32(x) if !x.is_empty() => {
                    let (i, n) = (draws.next(x.len()), draws.of(&[1, 1, 16, 1000]));
                    x.iter_mut().skip(i).take(n).for_each(|x| *x = value.0);
                }
                Data::I32(x) if !x.is_empty() => {
                    let i = draws.next(x.len());
                    x[i] = value.1;
                }
                Data::I64(x) if !x.is_empty() => {
                    let i = draws.next(x.len());
                    x[i] = draws.of(&[-1, 0, 1, 1 << 31, i64::MIN, i64::MAX]);
                }
                _ => (),
            }
        }
    }
    let n: usize = given.shape.iter().product();
    if n > 1 << 16 {
        given.shape = vec![n % 1000];
    }
    given.data = given.data.resized(given.shape.iter().product());
}

/// Thousands of models and inputs, each near one that is right. Whether they are refused or not is
/// other tests' matter: here a panic that a kernel's own checks should have prevented would show as
/// a fault, and anything worse would end the process.
#[test]
fn mutated_models_and_inputs_end_no_process() {
    let runtime = runtime();
    let mut draws = Draws(7);
    let (mut ran, mut refused) = (0, 0);
    let mut count = |model: &Model, found: ort::Result<(Vec<i64>, Vec<f32>)>| match found {
        Ok((shape, y)) => {
            ran += 1;
            assert_eq!(shape.iter().product::<i64>(), y.len() as i64);
        }
        Err(e) => {
            refused += 1;
            assert!(!e.to_string().contains("fault"), "{e} for {model:?}");
        }
    };
    // Inputs of a session.
    for original in models().into_iter() {
        let mut session = original.open(runtime).expect("a session");
        for _ in 0..2500 {
            let mut model = original.clone();
            for _ in 0..1 + draws.next(3) {
                let i = draws.next(model.inputs.len());
                if !model.input(i).constant {
                    mutate_input(&mut draws, model.input(i));
                }
            }
            let found = model.run_in(&mut session);
            count(&model, found);
        }
    }
    // Attributes, and inputs that are part of the file.
    const NUMBERS: [i64; 13] = [
        -1,
        0,
        1,
        2,
        3,
        4,
        128,
        256,
        1 << 24,
        1 << 31,
        1 << 61,
        i64::MIN,
        i64::MAX,
    ];
    for original in models().into_iter() {
        for _ in 0..400 {
            let mut model = original.clone();
            for _ in 0..1 + draws.next(3) {
                if draws.next(2) == 0 && !model.attributes.is_empty() {
                    let i = draws.next(model.attributes.len());
                    let n = draws.of(&NUMBERS);
                    model.attributes[i].1 = match draws.next(6) {
                        0 => Float(draws.of(&[0.0, f32::NAN, f32::INFINITY, f32::MAX, 1.0])),
                        1 => Integers(vec![]),
                        2 => Integers(vec![n, n]),
                        3 => Integers(vec![n]),
                        _ => Integer(n),
                    };
                } else {
                    let i = draws.next(model.inputs.len());
                    mutate_input(&mut draws, model.input(i));
                }
            }
            for input in model.inputs.iter_mut().flatten() {
                input.constant |= draws.next(4) == 0;
            }
            let found = model.run(runtime);
            count(&model, found);
        }
    }
    println!("{ran} ran, {refused} were refused");
    assert!(
        ran > 1000 && refused > 1000,
        "{ran} ran, {refused} were refused"
    );
}
