//! CUPTI's activity records, read from the bytes that it fills buffers with.
//!
//! A record begins with its kind; what follows is as `cupti_activity.h` lays it out. Layouts are versioned, and a newer CUPTI only
//! appends fields: all that is read here stands at the same place in the records of CUDA 12.0 to 13.0 (`CUpti_ActivityKernel9` and
//! `10`, `Memcpy5` and `6`, `Memset4`, `API`), which a test holds to numbers of both headers. Nothing is read beyond the bytes that
//! are there.

use std::mem::offset_of;

use cudarc::cupti::sys::{self, CUpti_ActivityKind as Kind, CUpti_ActivityMemcpyKind as CopyKind};

use super::{Activities, Call, KernelRun, Span, Transfer};

/// Gives records the names that they refer to.
pub trait Names {
    /// Of a kernel, at this address in the library's memory.
    fn kernel(&self, address: u64) -> String;
    /// Of a function of the driver.
    fn call(&self, number: u32) -> String;
}

/// The number of a kind of records.
pub const fn number(kind: Kind) -> u32 {
    kind as u32
}

/// A number of this type at this place, where the bytes go so far.
macro_rules! read {
    ($bytes:expr, $record:ident, $field:ident, $type:ty) => {{
        let at = offset_of!(sys::$record, $field);
        let bytes = $bytes.get(at..at + size_of::<$type>())?;
        <$type>::from_ne_bytes(bytes.try_into().ok()?)
    }};
}

/// Adds the records of a buffer. `next` tells where the record behind the one at an offset begins (the first: behind `None`), as only
/// CUPTI knows how long each is.
///
/// Kinds that were not asked for are passed over; a record that the bytes end in, or a place outside of them, counts as lost.
pub fn read(
    bytes: &[u8],
    next: &mut dyn FnMut(Option<usize>) -> Option<usize>,
    names: &dyn Names,
    into: &mut Activities,
) {
    let mut at = None;
    while let Some(begin) = next(at) {
        let forward = at.is_none_or(|before| begin > before);
        let Some(record) = bytes.get(begin..).filter(|_| forward) else {
            into.lost += 1;
            return;
        };
        if one(record, names, into).is_none() {
            into.lost += 1;
        }
        at = Some(begin);
    }
}

/// Adds the record that these bytes begin with; `None` where they end in it.
fn one(bytes: &[u8], names: &dyn Names, into: &mut Activities) -> Option<()> {
    const KERNEL: u32 = number(Kind::CUPTI_ACTIVITY_KIND_KERNEL);
    const CONCURRENT: u32 = number(Kind::CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    const COPY: u32 = number(Kind::CUPTI_ACTIVITY_KIND_MEMCPY);
    const FILL: u32 = number(Kind::CUPTI_ACTIVITY_KIND_MEMSET);
    const CALL: u32 = number(Kind::CUPTI_ACTIVITY_KIND_DRIVER);
    match read!(bytes, CUpti_Activity, kind, u32) {
        KERNEL | CONCURRENT => into.kernels.push(kernel(bytes, names)?),
        COPY => into.transfers.push(Transfer {
            what: copy_words(read!(bytes, CUpti_ActivityMemcpy5, copyKind, u8)),
            span: Span {
                start_ns: read!(bytes, CUpti_ActivityMemcpy5, start, u64),
                end_ns: read!(bytes, CUpti_ActivityMemcpy5, end, u64),
            },
            correlation: read!(bytes, CUpti_ActivityMemcpy5, correlationId, u32),
            bytes: read!(bytes, CUpti_ActivityMemcpy5, bytes, u64),
        }),
        FILL => into.transfers.push(Transfer {
            what: super::FILL,
            span: Span {
                start_ns: read!(bytes, CUpti_ActivityMemset4, start, u64),
                end_ns: read!(bytes, CUpti_ActivityMemset4, end, u64),
            },
            correlation: read!(bytes, CUpti_ActivityMemset4, correlationId, u32),
            bytes: read!(bytes, CUpti_ActivityMemset4, bytes, u64),
        }),
        CALL => into.calls.push(Call {
            name: names.call(read!(bytes, CUpti_ActivityAPI, cbid, u32)),
            span: Span {
                start_ns: read!(bytes, CUpti_ActivityAPI, start, u64),
                end_ns: read!(bytes, CUpti_ActivityAPI, end, u64),
            },
            correlation: read!(bytes, CUpti_ActivityAPI, correlationId, u32),
        }),
        _ => {}
    }
    Some(())
}

fn kernel(bytes: &[u8], names: &dyn Names) -> Option<KernelRun> {
    // Sizes are signed in the header, and never negative.
    macro_rules! sizes {
        ($($field:ident),*) => { [$(read!(bytes, CUpti_ActivityKernel9, $field, u32)),*] };
    }
    let [shared_static, shared_dynamic, local] =
        sizes!(staticSharedMemory, dynamicSharedMemory, localMemoryPerThread);
    Some(KernelRun {
        span: Span {
            start_ns: read!(bytes, CUpti_ActivityKernel9, start, u64),
            end_ns: read!(bytes, CUpti_ActivityKernel9, end, u64),
        },
        correlation: read!(bytes, CUpti_ActivityKernel9, correlationId, u32),
        grid: sizes!(gridX, gridY, gridZ),
        block: sizes!(blockX, blockY, blockZ),
        registers: read!(bytes, CUpti_ActivityKernel9, registersPerThread, u16).into(),
        shared_static,
        shared_dynamic,
        local,
        name: names.kernel(read!(bytes, CUpti_ActivityKernel9, name, u64)),
    })
}

/// What a copy is, by its kind.
fn copy_words(kind: u8) -> &'static str {
    const TO: u8 = CopyKind::CUPTI_ACTIVITY_MEMCPY_KIND_HTOD as u8;
    const FROM: u8 = CopyKind::CUPTI_ACTIVITY_MEMCPY_KIND_DTOH as u8;
    const WITHIN: u8 = CopyKind::CUPTI_ACTIVITY_MEMCPY_KIND_DTOD as u8;
    const BETWEEN: u8 = CopyKind::CUPTI_ACTIVITY_MEMCPY_KIND_PTOP as u8;
    match kind {
        TO => "copy to the GPU",
        FROM => "copy from the GPU",
        WITHIN => super::COPY_WITHIN,
        BETWEEN => "copy between GPUs",
        _ => "copy of another kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;
    impl Names for Plain {
        fn kernel(&self, address: u64) -> String {
            format!("kernel at {address:#x}")
        }
        fn call(&self, number: u32) -> String {
            format!("call {number}")
        }
    }

    /// A record of this many bytes with numbers at offsets, as long as given.
    fn record(len: usize, kind: u32, fields: &[(usize, &[u8])]) -> Vec<u8> {
        // What is not read is not zero.
        let mut bytes = vec![0xee; len];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        for (at, value) in fields {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        bytes
    }

    /// What a buffer with these records is read as, where each is `length` bytes from the next.
    fn read_all(records: &[Vec<u8>]) -> Activities {
        let bytes = records.concat();
        let mut begins = records.iter().scan(0, |at, r| Some(std::mem::replace(at, *at + r.len())));
        let mut into = Activities::default();
        read(&bytes, &mut |_| begins.next(), &Plain, &mut into);
        into
    }

    fn u(value: u32) -> [u8; 4] {
        value.to_ne_bytes()
    }

    fn w(value: u64) -> [u8; 8] {
        value.to_ne_bytes()
    }

    /// Offsets are those of the headers of CUPTI 12.4 and 13.0, as a C compiler tells them.
    fn kernel_record(len: usize) -> Vec<u8> {
        let fields: [(usize, &[u8]); 14] = [
            (6, &96u16.to_ne_bytes()),
            (16, &w(1_000)),
            (24, &w(3_500)),
            (52, &u(7)),
            (56, &u(2)),
            (60, &u(1)),
            (64, &u(128)),
            (68, &u(3)),
            (72, &u(4)),
            (76, &u(1024)),
            (80, &u(65_536)),
            (84, &u(16)),
            (92, &u(41)),
            (104, &w(0xabc)),
        ];
        record(len, 10, &fields)
    }

    #[test]
    fn records_of_both_lengths_are_read_and_others_are_passed_over() {
        let copy: [(usize, &[u8]); 5] =
            [(4, &[8]), (8, &w(1 << 20)), (16, &w(10)), (24, &w(20)), (44, &u(42))];
        let fill: [(usize, &[u8]); 5] =
            [(4, &u(9)), (8, &w(4096)), (16, &w(30)), (24, &w(31)), (44, &u(43))];
        let call: [(usize, &[u8]); 4] = [(4, &u(652)), (8, &w(5)), (16, &w(6)), (32, &u(41))];
        // As long as with CUPTI 12.4, then 13.0.
        for (kernel_len, copy_len) in [(208, 88), (216, 96)] {
            let all = read_all(&[
                record(copy_len, 1, &copy),
                // An overhead, which nobody asked for.
                record(40, 17, &[]),
                kernel_record(kernel_len),
                record(88, 2, &fill),
                record(40, 4, &call),
            ]);
            assert_eq!(
                all.kernels,
                [KernelRun {
                    name: "kernel at 0xabc".into(),
                    span: Span { start_ns: 1_000, end_ns: 3_500 },
                    correlation: 41,
                    grid: [7, 2, 1],
                    block: [128, 3, 4],
                    registers: 96,
                    shared_static: 1024,
                    shared_dynamic: 65_536,
                    local: 16,
                }]
            );
            let of = |what, start_ns, end_ns, correlation, bytes| Transfer {
                what,
                span: Span { start_ns, end_ns },
                correlation,
                bytes,
            };
            assert_eq!(
                all.transfers,
                [of("copy within the GPU", 10, 20, 42, 1 << 20), of("fill", 30, 31, 43, 4096)]
            );
            let span = Span { start_ns: 5, end_ns: 6 };
            assert_eq!(all.calls, [Call { name: "call 652".into(), span, correlation: 41 }]);
            assert_eq!(all.lost, 0);
        }
    }

    #[test]
    fn a_buffer_that_ends_in_a_record_is_read_up_to_there_wherever_it_is_cut() {
        let whole = kernel_record(208);
        // The name is what stands furthest back of what is read.
        for len in 0..whole.len() {
            let mut into = Activities::default();
            let mut begins = [0].into_iter();
            read(&whole[..len], &mut |_| begins.next(), &Plain, &mut into);
            let is_read = len >= 112;
            assert_eq!(
                (into.kernels.len(), into.lost),
                (is_read.into(), (!is_read).into()),
                "{len}"
            );
        }
    }

    #[test]
    fn a_place_outside_the_buffer_or_one_that_was_read_already_ends_the_reading() {
        let bytes = [kernel_record(208), kernel_record(208)].concat();
        for (places, read_before) in [(vec![0, 4096], 1), (vec![208, 208], 1), (vec![208, 0], 1)] {
            let mut places = places.into_iter().cycle();
            let mut into = Activities::default();
            read(&bytes, &mut |_| places.next(), &Plain, &mut into);
            assert_eq!((into.kernels.len(), into.lost), (read_before, 1));
        }
    }

    #[test]
    fn the_records_of_the_bindings_are_those_of_the_headers() {
        // sizeof by the header of CUPTI 12.4; 13.0 appends eight bytes to the first two.
        assert_eq!(size_of::<sys::CUpti_ActivityKernel9>(), 208);
        assert_eq!(size_of::<sys::CUpti_ActivityMemcpy5>(), 88);
        assert_eq!(size_of::<sys::CUpti_ActivityMemset4>(), 88);
        assert_eq!(size_of::<sys::CUpti_ActivityAPI>(), 40);
    }
}
