//! The decoder's attention over its cache. ONNX Runtime reads the cache once for each head, and a
//! group of seven heads shares one; far back in a conversation that is most of a step.

use std::ops::Range;
use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::cache;
use super::kernels::cached::{Group, LARGEST_HEAD, Partial, Queries, ROWS, attend_span};
use super::shape::{Dim::*, Input, Sizes as Names};
use super::vectors::Vectors;

/// ONNX Runtime's GroupQueryAttention with rotary positions, over a cache that past and present share.
///
/// qkv [b, s, (heads + 2 groups) head], keys and values [b, groups, capacity, head], seqlens_k [b] (one
/// less than what a row has read, these s included), total (of the longest row), cos and sin
/// [positions, head / 2] -> y [b, s, heads head], keys and values. Within a head the first half is
/// rotated with the second.
pub(super) struct CachedAttention<V>(pub V);

/// More heads than any model has.
const MOST_HEADS: usize = 1 << 16;

// Places of the inputs.
const QKV: usize = 0;
const PAST_KEYS: usize = 1;
const PAST_VALUES: usize = 2;
const LENGTHS: usize = 3;
const TOTAL: usize = 4;
const COS: usize = 5;
const SIN: usize = 6;

impl<V: Vectors> Operation for CachedAttention<V> {
    type Kernel = CachedAttentionKernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("qkv", &[Size("rows"), Size("columns"), Size("width")]),
        Input::f32("past_keys", CACHE),
        Input::f32("past_values", CACHE),
        Input::i32("seqlens_k", &[Size("rows")]),
        Input::i32("total", &[]),
        Input::f32("cos", &[Size("positions"), Size("half")]),
        Input::f32("sin", &[Size("positions"), Size("half")]),
    ];
    const OUTPUTS: usize = 3;
    const IN_PLACE: &'static [(usize, usize)] = &[(PAST_KEYS, 1), (PAST_VALUES, 2)];

    fn name(&self) -> &'static str {
        "CachedAttention"
    }

    fn kernel(&self, node: &Node) -> ort::Result<CachedAttentionKernel<V>> {
        let heads = node.required("num_heads", 1..MOST_HEADS)?;
        let groups = node.required("kv_num_heads", 1..MOST_HEADS)?;
        if !heads.is_multiple_of(groups) {
            return Err(node.error(&format!(
                "attribute num_heads is {heads}, expected a multiple of kv_num_heads, {groups}"
            )));
        }
        Ok(CachedAttentionKernel {
            v: self.0,
            heads,
            groups,
            scale: node.finite("scale")?,
            queries: Vec::new(),
        })
    }
}

const CACHE: &[super::shape::Dim] = &[
    Size("rows"),
    Size("kv_num_heads"),
    Size("capacity"),
    Times(2, "half"),
];

pub(super) struct CachedAttentionKernel<V> {
    v: V,
    heads: usize,
    groups: usize,
    scale: f32,
    /// Rotated and scaled, [b, groups, s, heads of a group, head]; kept so that no run allocates.
    queries: Vec<f32>,
}

/// Keys of a span where there is one column: more of them are worth another thread.
const SPAN: usize = 512;

/// Some queries of one group, and a span of the keys that they attend to.
struct Task {
    row: usize,
    group: usize,
    /// Of the group's queries [s, heads of a group].
    first: usize,
    span: Range<usize>,
}

/// The sizes of a run.
#[derive(Clone, Copy)]
struct Sizes {
    columns: usize,
    groups: usize,
    /// Heads that share a group.
    per: usize,
    head: usize,
    capacity: usize,
}

impl<V: Vectors> Compute for CachedAttentionKernel<V> {
    fn sizes(&self) -> Names {
        let mut names = Names::default();
        names.bind("kv_num_heads", self.groups);
        names
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let sizes = self.measure(call)?;
        let totals = totals(call, sizes)?;
        let (qkv, cos, sin) = (call.data(QKV)?, call.data(COS)?, call.data(SIN)?);
        let Sizes { columns, head, .. } = sizes;
        let width = self.heads * head; // no overflow: qkv has more
        let shape = [totals.len(), columns, width].map(|n| n as i64);
        let mut y = call.output(0, &shape)?;
        let mut keys = cache::present(call, PAST_KEYS, 1)?;
        let mut values = cache::present(call, PAST_VALUES, 2)?;
        let (keys, values) = (keys.data()?, values.data()?);
        self.queries.resize(totals.len() * columns * width, 0.0);
        let width = qkv.len() / (totals.len() * columns);
        for (row, qkv) in qkv.chunks_exact(columns * width).enumerate() {
            for (column, qkv) in qkv.chunks_exact(width).enumerate() {
                let position = totals[row] - columns + column;
                let turn = [cos, sin].map(|table| &table[position * head / 2..][..head / 2]);
                let at = (row, column, position);
                self.read(qkv, turn, sizes, at, (&mut *keys, &mut *values));
            }
        }
        self.attend(call, sizes, &totals, (&*keys, &*values), y.data()?)
    }
}

/// What each row has read, this run's columns included; all within the cache and the tables.
fn totals(call: &Call, sizes: Sizes) -> ort::Result<Vec<usize>> {
    let Sizes {
        columns, capacity, ..
    } = sizes;
    let most = capacity.min(call.size("positions"));
    let total = call.data::<i32>(TOTAL)?[0];
    let mut totals = Vec::with_capacity(call.size("rows"));
    for (row, &last) in call.data::<i32>(LENGTHS)?.iter().enumerate() {
        let found = usize::try_from(last).ok().map(|last| last + 1);
        let found = found.filter(|n| (columns..=most).contains(n));
        totals.push(found.ok_or_else(|| {
            call.error(&format!(
                "row {row} of input {LENGTHS} (seqlens_k) is {last}, expected {} to {}",
                columns - 1,
                most.saturating_sub(1)
            ))
        })?);
    }
    let longest = totals.iter().max().copied().unwrap_or(0);
    let fits = usize::try_from(total).is_ok_and(|total| (longest..=capacity).contains(&total));
    if !fits {
        return Err(call.error(&format!(
            "input {TOTAL} (total) is {total}, expected {longest} to {capacity}"
        )));
    }
    Ok(totals)
}

impl<V: Vectors> CachedAttentionKernel<V> {
    /// The sizes of a run. The declared shapes give all of them but the width of qkv.
    fn measure(&self, call: &Call) -> ort::Result<Sizes> {
        let head = 2 * call.size("half"); // no overflow: a dimension of the cache
        if !head.is_multiple_of(16) || head > LARGEST_HEAD {
            return Err(call.error(&format!(
                "heads have {head} numbers, expected a multiple of 16 up to {LARGEST_HEAD}"
            )));
        }
        let expected = (self.heads + 2 * self.groups).checked_mul(head);
        if expected != Some(call.size("width")) {
            let (heads, groups) = (self.heads, self.groups);
            return Err(call.error(&format!(
                "input {QKV} (qkv) has {} numbers a column, expected ({heads} + 2 x {groups}) x {head}",
                call.size("width")
            )));
        }
        Ok(Sizes {
            columns: call.size("columns"),
            groups: self.groups,
            per: self.heads / self.groups,
            head,
            capacity: call.size("capacity"),
        })
    }

    /// Takes one column's queries, and writes its keys and values into the cache.
    fn read(
        &mut self,
        qkv: &[f32],
        [cos, sin]: [&[f32]; 2],
        sizes: Sizes,
        (row, column, position): (usize, usize, usize),
        (keys, values): (&mut [f32], &mut [f32]),
    ) {
        let Sizes {
            columns,
            groups,
            per,
            head,
            capacity,
        } = sizes;
        let (q, kv) = qkv.split_at(self.heads * head);
        let (k, v) = kv.split_at(groups * head);
        // As ONNX Runtime's operator has it, 0 stands for the usual scale.
        let scale = match self.scale {
            0.0 => 1.0 / (head as f32).sqrt(),
            scale => scale,
        };
        let scale = scale * std::f32::consts::LOG2_E;
        for (i, q) in q.chunks_exact(head).enumerate() {
            let (group, of_group) = (i / per, i % per);
            let at = ((row * groups + group) * columns + column) * per + of_group;
            rotate(q, cos, sin, scale, &mut self.queries[at * head..][..head]);
        }
        for group in 0..groups {
            let at = ((row * groups + group) * capacity + position) * head;
            rotate(&k[group * head..], cos, sin, 1.0, &mut keys[at..][..head]);
            values[at..][..head].copy_from_slice(&v[group * head..][..head]);
        }
    }

    /// Writes y, a task for each few queries and each span of keys.
    fn attend(
        &self,
        call: &Call,
        sizes: Sizes,
        totals: &[usize],
        (keys, values): (&[f32], &[f32]),
        y: &mut [f32],
    ) -> ort::Result<()> {
        let Sizes {
            columns,
            groups,
            per,
            head,
            capacity,
        } = sizes;
        let width = self.heads * head;
        let tasks = tasks(sizes, totals);
        let done: Vec<Mutex<Option<Partial>>> = tasks.iter().map(|_| Mutex::default()).collect();
        call.par_for(tasks.len(), 0, |i| {
            let task = &tasks[i];
            let at = task.row * groups + task.group;
            let all = &self.queries[at * columns * per * head..][..columns * per * head];
            let rows = &all[task.first * head..(columns * per).min(task.first + ROWS) * head];
            let before = totals[task.row] - columns;
            let queries = Queries {
                rows,
                seen: std::array::from_fn(|row| before + (task.first + row) / per + 1),
            };
            let cache = at * capacity * head..(at + 1) * capacity * head;
            let group = Group::new(&keys[cache.clone()], &values[cache], head);
            if let Ok(mut done) = done[i].lock() {
                *done = Some(attend_span(self.v, group, queries, task.span.clone()));
            }
        })?;
        let mut whole: Option<Partial> = None;
        for (i, (task, partial)) in tasks.iter().zip(done).enumerate() {
            let partial = partial.into_inner().ok().flatten();
            let mut partial = partial.ok_or_else(|| call.error("a span of keys was left out"))?;
            let mut merged = match whole.take() {
                Some(mut whole) => {
                    whole.merge(&mut partial);
                    whole
                }
                None => partial,
            };
            if tasks.get(i + 1).is_some_and(|next| next.span.start > 0) {
                whole = Some(merged); // the next span is of the same queries
                continue;
            }
            for query in task.first..(columns * per).min(task.first + ROWS) {
                let at = (task.row * columns + query / per) * width
                    + (task.group * per + query % per) * head;
                merged.write(query - task.first, &mut y[at..][..head]);
            }
        }
        Ok(())
    }
}

/// Spans of the same queries follow each other; where they end depends on the row's own length alone.
fn tasks(sizes: Sizes, totals: &[usize]) -> Vec<Task> {
    let Sizes {
        columns,
        groups,
        per,
        ..
    } = sizes;
    let mut tasks = Vec::new();
    for (row, &total) in totals.iter().enumerate() {
        let span = if columns == 1 { SPAN } else { total };
        for group in 0..groups {
            for first in (0..columns * per).step_by(ROWS) {
                let last = (columns * per).min(first + ROWS) - 1;
                let seen = total - columns + last / per + 1;
                tasks.extend((0..seen).step_by(span).map(|start| Task {
                    row,
                    group,
                    first,
                    span: start..seen.min(start + span),
                }));
            }
        }
    }
    tasks
}

/// Turns a head [head] by a position's angles, and scales it.
fn rotate(x: &[f32], cos: &[f32], sin: &[f32], scale: f32, to: &mut [f32]) {
    let half = cos.len();
    let (first, second) = to.split_at_mut(half);
    for i in 0..half {
        let (a, b) = (x[i] * scale, x[half + i] * scale);
        first[i] = a * cos[i] - b * sin[i];
        second[i] = b * cos[i] + a * sin[i];
    }
}
