//! The decoder's attention over its cache. ONNX Runtime reads the cache once for each head, and a
//! group of seven heads shares one; far back in a conversation that is most of a step.

use std::ops::Range;
use std::sync::Mutex;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType::{Float32, Int32};

use super::avx512::cached::{Group, Heard, LARGEST_HEAD, Queries, ROWS, listen};
use super::{inputs, misshapen};

/// ONNX Runtime's GroupQueryAttention with rotary positions, over a cache that past and present share.
///
/// qkv [b, s, (heads + 2 groups) head], keys and values [b, groups, capacity, head], seqlens_k [b] (one
/// less than what a row has read, these s included), total (unused), cos and sin [positions, head / 2]
/// -> y [b, s, heads head], keys and values. Within a head the first half is rotated with the second.
pub(super) struct CachedAttention;

impl Operator for CachedAttention {
    type Kernel<'attr> = CachedAttentionKernel;

    fn name(&self) -> &str {
        "CachedAttention"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Float32, Float32, Int32, Int32, Float32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [Float32; 3].map(OperatorOutput::required)
    }

    fn create_kernel<'attr>(
        &self,
        context: &KernelContext<'attr>,
    ) -> ort::Result<CachedAttentionKernel> {
        let count = |name: &str| -> ort::Result<usize> {
            let found: i64 = context.get(name).ok_or_else(misshapen)?;
            usize::try_from(found).map_err(|_| misshapen())
        };
        Ok(CachedAttentionKernel {
            heads: count("num_heads")?,
            groups: count("kv_num_heads")?,
            scale: context.get("scale").ok_or_else(misshapen)?,
            queries: Vec::new(),
        })
    }
}

pub(super) struct CachedAttentionKernel {
    heads: usize,
    groups: usize,
    scale: f32,
    /// Rotated and scaled, [b, groups, s, heads of a group, head]; kept so that no run allocates.
    queries: Vec<f32>,
}

/// Keys of a span where there is one column: more of them are worth another thread.
const SPAN: usize = 512;

/// Some queries of one group, and the keys that they are to hear.
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

impl Kernel for CachedAttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [qkv, past_keys, past_values, lengths, _, cos, sin] = inputs(context)?;
        let (shape, qkv) = qkv.try_extract_tensor::<f32>()?;
        let (_, lengths) = lengths.try_extract_tensor::<i32>()?;
        let (_, cos) = cos.try_extract_tensor::<f32>()?;
        let (_, sin) = sin.try_extract_tensor::<f32>()?;
        let (cache, past_keys) = past_keys.try_extract_tensor::<f32>()?;
        let (_, past_values) = past_values.try_extract_tensor::<f32>()?;
        let [rows, columns, width] = shape[..] else {
            return Err(misshapen());
        };
        let [_, _, capacity, head] = cache[..] else {
            return Err(misshapen());
        };
        let [columns, width, capacity, head] = [columns, width, capacity, head].map(|n| n as usize);
        let sizes = Sizes {
            columns,
            groups: self.groups,
            per: self.heads / self.groups.max(1),
            head,
            capacity,
        };
        let fits = head.is_multiple_of(16)
            && (1..=LARGEST_HEAD).contains(&head)
            && sizes.per * sizes.groups == self.heads
            && width == (self.heads + 2 * self.groups) * head
            && lengths.len() == rows as usize
            && past_keys.len() == lengths.len() * self.groups * capacity * head
            && past_keys.len() == past_values.len();
        // How many keys each row has, these columns included.
        let totals: Vec<usize> = lengths.iter().map(|&n| n as usize + 1).collect();
        let most = cos.len().min(sin.len()) / (head / 2).max(1);
        if !fits
            || totals
                .iter()
                .any(|&n| n < columns || n > capacity.min(most))
        {
            return Err(misshapen());
        }
        let [mut keys, mut values] = [
            context.output(1, cache.to_vec())?.ok_or_else(misshapen)?,
            context.output(2, cache.to_vec())?.ok_or_else(misshapen)?,
        ];
        let keys = in_place(past_keys, keys.try_extract_tensor_mut::<f32>()?.1);
        let values = in_place(past_values, values.try_extract_tensor_mut::<f32>()?.1);
        self.queries
            .resize(qkv.len() / width * self.heads * head, 0.0);
        for (row, qkv) in qkv.chunks_exact(columns * width).enumerate() {
            for (column, qkv) in qkv.chunks_exact(width).enumerate() {
                let position = totals[row] - columns + column;
                let turn = [cos, sin].map(|table| &table[position * head / 2..][..head / 2]);
                self.read(
                    qkv,
                    turn,
                    sizes,
                    (row, column, position),
                    (&mut *keys, &mut *values),
                );
            }
        }
        let shape = [rows, columns as i64, (self.heads * head) as i64];
        let mut y = context.output(0, shape)?.ok_or_else(misshapen)?;
        let (_, y) = y.try_extract_tensor_mut::<f32>()?;
        self.answer(context, sizes, &totals, (&*keys, &*values), y)
    }
}

impl CachedAttentionKernel {
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
        let scale = self.scale * std::f32::consts::LOG2_E;
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

    fn answer(
        &self,
        context: &ComputeContext,
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
        let done: Vec<Mutex<Option<Heard>>> = tasks.iter().map(|_| Mutex::default()).collect();
        context.par_for(tasks.len(), 0, |i| {
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
            let group = Group {
                keys: &keys[cache.clone()],
                values: &values[cache],
                head,
            };
            if let Ok(mut done) = done[i].lock() {
                *done = Some(listen(group, queries, task.span.clone()));
            }
        })?;
        let mut whole: Option<Heard> = None;
        for (i, (task, heard)) in tasks.iter().zip(done).enumerate() {
            let heard = heard.into_inner().ok().flatten().ok_or_else(misshapen)?;
            match &mut whole {
                Some(whole) => whole.join(&heard),
                None => whole = Some(heard),
            }
            if tasks.get(i + 1).is_some_and(|next| next.span.start > 0) {
                continue; // it goes on with the same queries
            }
            let whole = whole.take().ok_or_else(misshapen)?;
            for query in task.first..(columns * per).min(task.first + ROWS) {
                let at = (task.row * columns + query / per) * width
                    + (task.group * per + query % per) * head;
                whole.write(query - task.first, &mut y[at..][..head]);
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

/// The cache as it goes on: `present` is `past` itself, or gets a copy of it.
fn in_place<'a>(past: &[f32], present: &'a mut [f32]) -> &'a mut [f32] {
    if past.as_ptr() != present.as_ptr() {
        present.copy_from_slice(past);
    }
    present
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
