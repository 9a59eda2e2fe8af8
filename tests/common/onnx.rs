//! Just enough of ONNX to damage a model on purpose: where the values of a tensor are.

use std::fs;
use std::path::Path;

/// The fields of a protobuf message: number, and where its bytes begin and end in the file.
fn fields(file: &[u8], start: usize, end: usize) -> Vec<(u64, usize, usize)> {
    let (mut at, mut found) = (start, Vec::new());
    while at < end {
        let tag = varint(file, &mut at);
        match tag & 7 {
            0 => drop(varint(file, &mut at)),
            1 => at += 8,
            5 => at += 4,
            _ => {
                let length = varint(file, &mut at) as usize;
                found.push((tag >> 3, at, at + length));
                at += length;
            }
        }
    }
    found
}

fn varint(file: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = file[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

fn text(file: &[u8], (_, start, end): (u64, usize, usize)) -> &str {
    std::str::from_utf8(&file[start..end]).expect("a text")
}

/// Changes the bytes of the weight `name` of a graph, in the graph or in the file beside it.
pub fn damage(graph: &Path, name: &str, change: impl FnOnce(&mut [u8])) {
    let mut file = fs::read(graph).expect("a graph");
    let inside = |(_, start, end), wanted: u64| {
        let fields = fields(&file, start, end).into_iter();
        fields
            .filter(move |(field, ..)| *field == wanted)
            .collect::<Vec<_>>()
    };
    let graphs = inside((0, 0, file.len()), 7);
    let tensor = inside(graphs[0], 5)
        .into_iter()
        .find(|&tensor| inside(tensor, 8).iter().any(|&at| text(&file, at) == name))
        .unwrap_or_else(|| panic!("no weight {name}"));
    if let Some(&(_, start, end)) = inside(tensor, 9).first() {
        change(&mut file[start..end]);
        return fs::write(graph, file).expect("written");
    }
    let (mut location, mut offset, mut length) = (String::new(), 0, 0);
    for entry in inside(tensor, 13) {
        let value = text(&file, inside(entry, 2)[0]);
        match text(&file, inside(entry, 1)[0]) {
            "location" => location = value.into(),
            "offset" => offset = value.parse().expect("a number"),
            "length" => length = value.parse().expect("a number"),
            _ => {}
        }
    }
    let beside = graph.with_file_name(location);
    let mut data = fs::read(&beside).expect("weights");
    change(&mut data[offset..][..length]);
    fs::write(beside, data).expect("written");
}

/// The same for 32-bit floats.
pub fn damage_floats(graph: &Path, name: &str, change: impl FnOnce(&mut [f32])) {
    damage(graph, name, |bytes| {
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let mut values: Vec<f32> = bytes.chunks_exact(4).map(float).collect();
        change(&mut values);
        for (to, value) in bytes.chunks_exact_mut(4).zip(values) {
            to.copy_from_slice(&value.to_le_bytes());
        }
    });
}
