//! Buffers: a short message that passes through, moves between buffers, and searches.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use evshard::{Buffer, Eol};

const MESSAGE: usize = 64;
const BULK: usize = 1 << 20;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("buffers");

    let (mut input, mut output) = (Buffer::new(), Buffer::new());
    group.bench_function("append, move, drain 64 B", |bencher| {
        bencher.iter(|| {
            input.append(black_box(&[1; MESSAGE]));
            output.append_buffer(&mut input);
            black_box(output.drain(MESSAGE))
        });
    });

    group.throughput(Throughput::Bytes(BULK as u64));
    group.bench_function("append 1 MiB in 64 B, drain", |bencher| {
        bencher.iter(|| {
            for _ in 0..BULK / MESSAGE {
                input.append(black_box(&[1; MESSAGE]));
            }
            input.drain(BULK)
        });
    });

    let mut long = Buffer::new();
    for _ in 0..BULK / MESSAGE {
        long.append(&[b'a'; MESSAGE]);
    }
    group.bench_function("move 1 MiB in parts of 10,000 B", |bencher| {
        bencher.iter(|| {
            while long.move_to(&mut output, 10_000) > 0 {}
            long.append_buffer(&mut output);
        });
    });
    group.bench_function("search 1 MiB", |bencher| {
        bencher.iter(|| black_box(&long).find(b"\r\n", ..));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("read a line of 64 B", |bencher| {
        bencher.iter(|| {
            input.append(black_box(&[b'a'; MESSAGE]));
            input.append(b"\r\n");
            input.read_line(Eol::CrLf)
        });
    });
    group.finish();
}
