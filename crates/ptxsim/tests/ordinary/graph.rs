//! `corpus/src/graph.cu`

use crate::{Kernel, Source, assert_close};

/// A random sparse matrix in compressed rows: starts, columns.
fn sparse(rows: usize, columns: usize, source: &mut Source) -> (Vec<i32>, Vec<i32>) {
    let (mut start, mut column) = (vec![0], Vec::new());
    for _ in 0..rows {
        let n = (source.bits() % 9) as usize * [47, 1, 1, 1][(source.bits() % 4) as usize];
        column.extend(source.integers(n, columns as u64));
        start.push(column.len() as i32);
    }
    (start, column)
}

fn spmv(entry: &'static str, grid: usize, block: usize) {
    let mut source = Source::new(1);
    let rows = 50;
    let (start, column) = sparse(rows, 40, &mut source);
    let (value, x) = (source.floats(column.len()), source.floats(40));
    let kernel = Kernel::new("graph", entry).grid(grid, 1).block(block, 1);
    let kernel = kernel.input(&start).input(&column).input(&value).input(&x);
    let out = kernel.output::<f32>(rows).scalar(rows as i32).run().get::<f32>(0);
    let row = |r: usize| {
        let entries = start[r] as usize..start[r + 1] as usize;
        entries.map(|i| value[i] as f64 * x[column[i] as usize] as f64).sum::<f64>()
    };
    assert_close(&out, (0..rows).map(row), 1e-5);
}

#[test]
pub(crate) fn a_sparse_row_a_thread() {
    spmv("spmv_row", 1, 64);
}

#[test]
pub(crate) fn a_sparse_row_a_warp() {
    spmv("spmv_warp", 13, 128);
}

#[test]
pub(crate) fn a_breadth_first_search_reaches_what_plain_search_reaches() {
    let n = 200;
    let (start, edge) = sparse(n, n, &mut Source::new(2));
    let mut depth = vec![-1i32; n];
    let root = (0..n).max_by_key(|v| start[v + 1] - start[*v]).unwrap();
    depth[root] = 0;
    let mut expected = depth.clone();
    let (mut frontier, mut level) = (vec![root as i32], 1);
    while !frontier.is_empty() {
        let kernel = Kernel::new("graph", "breadth_first").grid(frontier.len().div_ceil(64), 1);
        let kernel = kernel.block(64, 1).any_order().input(&start).input(&edge).in_out(&depth);
        let kernel = kernel.input(&frontier).scalar(frontier.len() as i32);
        let out = kernel.in_out(&vec![-1i32; n]).in_out(&[0i32]).scalar(level).run();
        depth = out.get(0);
        frontier = out.get::<i32>(1)[..out.get::<i32>(2)[0] as usize].to_vec();
        level += 1;
    }
    let mut queue = std::collections::VecDeque::from([root]);
    while let Some(v) = queue.pop_front() {
        for to in &edge[start[v] as usize..start[v + 1] as usize] {
            let to = *to as usize;
            if expected[to] < 0 {
                expected[to] = expected[v] + 1;
                queue.push_back(to);
            }
        }
    }
    assert_eq!(depth, expected);
    assert!(level > 3, "the graph is deep enough to be worth it");
}

#[test]
pub(crate) fn shortest_paths_over_every_vertex_are_plain_rusts() {
    let n = 18;
    let mut d = Source::new(3).integers(n * n, 1000);
    let mut expected = d.clone();
    for k in 0..n {
        let kernel = Kernel::new("graph", "shortest_paths").grid(3, 3).block(8, 8);
        d = kernel.in_out(&d).scalar(n as i32).scalar(k as i32).run().get::<i32>(0);
        for i in (0..n).filter(|i| *i != k) {
            for j in (0..n).filter(|j| *j != k) {
                let through = expected[i * n + k] + expected[k * n + j];
                expected[i * n + j] = expected[i * n + j].min(through);
            }
        }
    }
    assert_eq!(d, expected);
}

#[test]
pub(crate) fn loops_of_unequal_length_end_where_they_should() {
    let x: Vec<u64> = (0..70u64).map(|i| i * i * 77_777 + 1).collect();
    let kernel = Kernel::new("graph", "collatz").grid(3, 1).block(32, 1);
    let out = kernel.input(&x).output::<u32>(70).scalar(70i32).run().get::<u32>(0);
    let steps = |x: &u64| {
        let next = |v: &u64| (*v != 1).then(|| if v % 2 == 1 { 3 * v + 1 } else { v / 2 });
        std::iter::successors(Some(*x), next).count() as u32 - 1
    };
    assert_eq!(out, x.iter().map(steps).collect::<Vec<_>>());
}

#[test]
pub(crate) fn remainders_of_64_bits_are_exact() {
    let base = Source::new(4).words(60);
    let (exponent, modulus) = (65_537u32, 4_294_967_291u32);
    let kernel = Kernel::new("graph", "power_mod").grid(2, 1).block(32, 1);
    let kernel = kernel.input(&base).output::<u32>(60).scalar(exponent).scalar(modulus);
    let out = kernel.scalar(60i32).run().get::<u32>(0);
    let power = |b: &u32| {
        let times = |x: u64, y: u64| (x as u128 * y as u128 % modulus as u128) as u64;
        let b = *b as u64 % modulus as u64;
        times((0..16).fold(b, |square, _| times(square, square)), b) as u32
    };
    assert_eq!(out, base.iter().map(power).collect::<Vec<_>>());
}

#[test]
pub(crate) fn points_escape_after_as_many_steps() {
    let (width, height) = (40, 21);
    let (x0, y0, step) = (-2.0f64, -1.0f64, 0.07f64);
    let kernel = Kernel::new("graph", "mandelbrot").grid(3, 6).block(16, 4);
    let kernel = kernel.output::<u16>(width * height).scalar(width as i32).scalar(height as i32);
    let out = kernel.scalar(x0).scalar(y0).scalar(step).run().get::<u16>(0);
    let mut same = 0;
    for (i, found) in out.into_iter().enumerate() {
        let cx = ((i % width) as f64).mul_add(step, x0);
        let cy = ((i / width) as f64).mul_add(step, y0);
        let (mut x, mut y, mut count) = (0.0, 0.0, 0);
        while count < 100 && x * x + y * y <= 4.0 {
            (x, y) = (x * x - y * y + cx, 2.0 * x * y + cy);
            count += 1;
        }
        same += (found == count) as usize;
    }
    // Where the compiler fuses a multiplication and an addition, a point at the edge may take another path.
    assert!(same * 100 >= width * height * 98, "{same}");
}

#[test]
pub(crate) fn points_fall_into_the_quarter_circle() {
    let kernel = Kernel::new("graph", "monte_carlo").grid(2, 1).block(64, 1);
    let out = kernel.scalar(99u64).scalar(50i32).in_out(&[0u32]).run().get::<u32>(0);
    let mut hits = 0;
    for thread in 0..128u64 {
        let mut s = 99 + thread.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..50 {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let x = (s >> 40) as f64 / (1 << 24) as f64;
            let y = (s >> 8 & 0xff_ffff) as f64 / (1 << 24) as f64;
            hits += (x * x + y * y < 1.0) as u32;
        }
    }
    assert!(out[0].abs_diff(hits) <= 1, "{} {hits}", out[0]);
}

#[test]
pub(crate) fn an_interpreter_takes_another_case_in_every_lane() {
    let mut source = Source::new(5);
    let (code, x) = (source.integers(23, 8), source.integers(77, 1 << 31));
    let kernel = Kernel::new("graph", "interpret").grid(3, 1).block(32, 1);
    let kernel = kernel.input(&code).input(&x).output::<i32>(77).scalar(23i32).scalar(77i32);
    for (i, found) in kernel.run().get::<i32>(0).into_iter().enumerate() {
        let mut value = x[i];
        for p in 0..23 {
            let i = i as i32;
            value = match code[(p + i as usize) % 23] {
                0 => value.wrapping_add(i),
                1 => value.wrapping_mul(3),
                2 => !value,
                3 => (value ^ i << 5).wrapping_mul(0x2545_f491).wrapping_add(i >> 3),
                4 => value.leading_zeros() as i32 + 7,
                5 => value.rotate_left(7),
                6 => value / 5 - value % 7,
                _ => value.max(value.wrapping_neg()),
            };
        }
        assert_eq!(found, value, "{i}");
    }
}

#[test]
pub(crate) fn lines_of_unequal_length_are_hashed() {
    let mut source = Source::new(6);
    let mut start = vec![0];
    (0..45).for_each(|i| start.push(start[i] + (source.bits() % 60) as i32));
    let text: Vec<u8> = source.words(start[45] as usize).iter().map(|x| *x as u8).collect();
    let kernel = Kernel::new("graph", "hash_lines").grid(2, 1).block(32, 1);
    let kernel = kernel.input(&text).input(&start).output::<u32>(45).scalar(45i32);
    let hash = |part: &[i32]| {
        let line = &text[part[0] as usize..part[1] as usize];
        line.iter().fold(2_166_136_261u32, |h, b| (h ^ *b as u32).wrapping_mul(16_777_619))
    };
    assert_eq!(kernel.run().get::<u32>(0), start.windows(2).map(hash).collect::<Vec<_>>());
}
