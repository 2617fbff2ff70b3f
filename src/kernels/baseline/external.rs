//! Kernels of external programs as rows: who they are and what they decline. `crate::worker` starts and asks the programs.

use std::borrow::Cow;

use crate::device::{Capabilities, Device};
use crate::error::{Error, Result};
use crate::kernels::{Kernel, KernelId, Prepared};
use crate::ops::{Case, DType, Inputs, Pass, Precision, Problem};

/// A framework whose worker comes with scalemark.
#[derive(Debug, Clone, Copy)]
pub struct Framework {
    /// Its name: the provider of its kernels.
    pub name: &'static str,
    /// The Python modules that its worker imports.
    pub modules: &'static [&'static str],
    /// The worker's source.
    pub source: &'static str,
    /// Modules of ours that it imports besides [`SHARED_SOURCE`], by name.
    pub imports: &'static [(&'static str, &'static str)],
    /// Variables that it is started with, where the user has not set them.
    pub environment: &'static [(&'static str, &'static str)],
    /// Its kernels on the CPU.
    pub rows: &'static [Row],
    /// Its kernels on a GPU.
    pub gpu_rows: &'static [Row],
    /// A program in Python that prints why the framework finds no GPU, or nothing where it finds one.
    pub finds_gpu: &'static str,
}

/// One kernel of a framework.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// `family/name`.
    pub id: &'static str,
    /// One line on what it calls, and how.
    pub about: &'static str,
    /// What it declines, before anybody asks the program, which may decline more.
    pub refuses: fn(&Case) -> Option<Cow<'static, str>>,
}

/// What workers in Python share: imported by the others as `scalemark_worker`.
pub const SHARED_SOURCE: &str = include_str!("../../../workers/scalemark_worker.py");

/// Memory that was touched stays with the process, and large blocks lie on huge pages, as our own buffers do; threads spin between
/// calls, for idle workers are stopped.
const KEEP: &[(&str, &str)] = &[
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "68719476736"),
    ("THP_MEM_ALLOC_ENABLE", "1"),
    ("OMP_WAIT_POLICY", "active"),
];

/// What flash kernels on GPUs take.
const HALVES: [Precision; 2] = [Precision::BF16, Precision::F16];
const FLOATS: [Precision; 3] = [Precision::F32, Precision::BF16, Precision::F16];

/// PyTorch on a GPU, cuDNN's attention included.
const TORCH_GPU_ROWS: &[Row] = &[
    Row {
        id: "matmul/torch",
        about: "torch.mm and torch.bmm with out=, sums in f32, in tf32 where the case says so; torch._int_mm in int8",
        refuses: |case| {
            let [f32s, bf16, f16] = FLOATS;
            unless(case, &[f32s, Precision::TF32, bf16, f16, Precision::INT8])
                .or_else(|| groups(case))
        },
    },
    Row {
        id: "attention/torch-flash",
        about: "scaled_dot_product_attention on the flash backend",
        refuses: |case| unless(case, &HALVES),
    },
    Row {
        id: "attention/torch-cudnn",
        about: "cuDNN's attention, through scaled_dot_product_attention",
        refuses: |case| unless(case, &HALVES),
    },
    Row {
        id: "attention/torch-efficient",
        about: "scaled_dot_product_attention on the memory-efficient backend",
        refuses: |case| unless(case, &FLOATS),
    },
    Row {
        id: "attention/torch-math",
        about: "scaled_dot_product_attention on the math backend, scores in memory",
        refuses: |case| unless(case, &FLOATS),
    },
    Row {
        id: "attention/torch-flash-attn",
        about: "the package flash-attn, where it is installed",
        refuses: |case| unless(case, &HALVES),
    },
    Row {
        id: "optimizer/torch-foreach",
        about: "torch.optim with foreach=True",
        refuses: f32_state,
    },
    Row { id: "optimizer/torch-fused", about: "torch.optim with fused=True", refuses: f32_state },
    Row {
        id: "optimizer/torch-compiled",
        about: "torch.compile of a torch.optim step, by Triton",
        refuses: f32_state,
    },
];

/// Asks PyTorch for a GPU.
const TORCH_FINDS_GPU: &str = "import torch
print('' if torch.cuda.is_available() else f'PyTorch {torch.__version__} finds no GPU')";

const TORCH_SOURCE: &str = include_str!("../../../workers/torch_worker.py");

/// The frameworks that `--baselines` knows.
pub static FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "torch",
        modules: &["torch", "numpy"],
        source: TORCH_SOURCE,
        imports: &[],
        environment: KEEP,
        rows: &[
            Row {
                id: "matmul/torch",
                about: "torch.mm and torch.bmm with out=, torch._int_mm in int8",
                refuses: |case| {
                    unless(case, &[Precision::F32, Precision::BF16, Precision::INT8])
                        .or_else(|| groups(case))
                },
            },
            Row {
                id: "matmul/torch-onednn",
                about: "oneDNN as torch.compile calls it for linear layers, the weight as it lies",
                refuses: |case| {
                    unless(case, &[Precision::F32, Precision::BF16]).or_else(|| groups(case))
                },
            },
            Row {
                id: "attention/torch-flash",
                about: "scaled_dot_product_attention on the flash backend",
                refuses: |case| unless(case, &[Precision::F32, Precision::BF16]),
            },
            Row {
                id: "attention/torch-math",
                about: "scaled_dot_product_attention on the math backend, scores in memory",
                refuses: |case| unless(case, &[Precision::F32, Precision::BF16]),
            },
            Row {
                id: "optimizer/torch-foreach",
                about: "torch.optim with foreach=True",
                refuses: f32_state,
            },
            Row {
                id: "optimizer/torch-fused",
                about: "torch.optim with fused=True",
                refuses: f32_state,
            },
            Row {
                id: "optimizer/torch-compiled",
                about: "torch.compile of a torch.optim step: one pass over memory, by its C++ backend",
                refuses: f32_state,
            },
        ],
        gpu_rows: TORCH_GPU_ROWS,
        finds_gpu: TORCH_FINDS_GPU,
    },
    Framework {
        name: "numpy",
        modules: &["numpy"],
        source: include_str!("../../../workers/numpy_worker.py"),
        imports: &[],
        environment: &[],
        rows: &[
            Row {
                id: "matmul/numpy",
                about: "numpy.matmul into a given array, with the BLAS that numpy came with",
                refuses: |case| unless(case, &[Precision::F32]).or_else(|| groups(case)),
            },
            Row {
                id: "attention/numpy",
                about: "numpy's products and array operations, scores in memory",
                refuses: |case| unless(case, &[Precision::F32]).or_else(|| gradients(case)),
            },
            Row {
                id: "optimizer/numpy",
                about: "numpy's array operations in place, several passes over memory",
                refuses: f32_state,
            },
        ],
        gpu_rows: &[],
        finds_gpu: "",
    },
    Framework {
        name: "onnxruntime",
        modules: &["onnxruntime", "onnx", "numpy"],
        source: include_str!("../../../workers/onnxruntime_worker.py"),
        imports: &[],
        environment: KEEP,
        rows: &[
            Row {
                id: "matmul/onnxruntime",
                about: "onnxruntime's MatMul, Gemm where an operand is transposed, MatMulInteger in int8",
                refuses: |case| {
                    unless(case, &[Precision::F32, Precision::INT8]).or_else(|| groups(case))
                },
            },
            Row {
                id: "attention/onnxruntime",
                about: "the operator Attention of ONNX in onnxruntime",
                refuses: |case| unless(case, &[Precision::F32]).or_else(|| gradients(case)),
            },
            Row {
                id: "attention/onnxruntime-mha",
                about: "onnxruntime's MultiHeadAttention, operands in its own layout",
                refuses: |case| unless(case, &[Precision::F32]).or_else(|| gradients(case)),
            },
        ],
        gpu_rows: &[],
        finds_gpu: "",
    },
    Framework {
        name: "zentorch",
        modules: &["zentorch", "torch", "numpy"],
        source: include_str!("../../../workers/zentorch_worker.py"),
        imports: &[("torch_worker", TORCH_SOURCE)],
        environment: KEEP,
        rows: &[
            Row {
                id: "matmul/zentorch",
                about: "AMD's zentorch_linear_unary and zentorch_bmm with out=",
                refuses: |case| {
                    unless(case, &[Precision::F32, Precision::BF16]).or_else(|| groups(case))
                },
            },
            Row {
                id: "attention/zentorch",
                about: "AMD's zentorch_sdpa with out=",
                refuses: |case| {
                    unless(case, &[Precision::F32, Precision::BF16]).or_else(|| gradients(case))
                },
            },
        ],
        gpu_rows: &[],
        finds_gpu: "",
    },
];

/// Declines other precisions than these; state in f32 or none.
fn unless(case: &Case, takes: &[Precision]) -> Option<Cow<'static, str>> {
    let precision = case.precision;
    let bare = Precision { state: None, ..precision };
    let alike = precision.state.is_none_or(|state| state == precision.inputs);
    let names: Vec<String> = takes.iter().map(Precision::to_string).collect();
    (!(takes.contains(&bare) && alike))
        .then(|| format!("computes {}, not {precision}", names.join(", ")).into())
}

/// Declines backward passes.
fn gradients(case: &Case) -> Option<Cow<'static, str>> {
    (case.pass == Pass::Backward).then(|| "computes no gradients".into())
}

/// Declines what is dealt to experts.
fn groups(case: &Case) -> Option<Cow<'static, str>> {
    match case.problem {
        Problem::Matmul(product) if product.groups.is_some() => {
            Some("has no product grouped by experts".into())
        }
        _ => None,
    }
}

/// Declines updates in other formats than f32.
fn f32_state(case: &Case) -> Option<Cow<'static, str>> {
    let p = case.precision;
    let all = [Some(p.inputs), Some(p.output), p.state];
    all.into_iter()
        .flatten()
        .any(|dtype| dtype != DType::F32)
        .then(|| format!("updates f32 with state in f32, not {p}").into())
}

/// A kernel of an external program, of which the registry knows nothing but what stands here.
#[derive(Debug, Clone)]
pub struct ExternalKernel {
    /// `family/name`.
    pub id: String,
    /// One line on what it does.
    pub about: String,
    /// The program.
    pub provider: String,
    /// What it declines.
    pub refuses: fn(&Case) -> Option<Cow<'static, str>>,
    /// Why the program cannot be asked at all, with the way out.
    pub missing: Option<String>,
}

impl Kernel for ExternalKernel {
    fn id(&self) -> KernelId {
        KernelId(self.id.clone())
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn provider(&self) -> &str {
        &self.provider
    }

    /// What the program itself declines it says when it is asked to prepare.
    fn refuses(&self, on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
        if let Some(reason) = case.invalid() {
            return Some(reason.into());
        }
        if let Some(reason) = (self.refuses)(case) {
            return Some(reason);
        }
        if let Some(missing) = &self.missing {
            return Some(missing.clone().into());
        }
        // The program's buffers, and the operands and results that lie between it and the run.
        let needs = on.case_bytes(case) + case.buffer_bytes() * 2;
        (needs > on.memory)
            .then(|| format!("needs {needs} of memory, this machine has {} free", on.memory).into())
    }

    fn prepare<'d>(
        &self,
        _device: &'d Device,
        _case: &Case,
        _inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        Err(Error::Usage(format!("{} runs in a program of its own: use `scalemark run`", self.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Rule, Update};

    #[test]
    fn rows_of_frameworks_are_named_once_and_belong_to_a_family() {
        let mut seen = std::collections::HashSet::new();
        for framework in FRAMEWORKS {
            let on_cpu =
                framework.rows.iter().map(|row| (row, crate::kernels::Registry::default()));
            let on_gpu =
                framework.gpu_rows.iter().map(|row| (row, crate::kernels::Registry::cuda()));
            for (row, registry) in on_cpu.chain(on_gpu) {
                let family = row.id.split('/').next().unwrap();
                assert!(crate::ops::Family::ALL.iter().any(|f| f.name() == family), "{}", row.id);
                let is_cpu = registry.get("matmul/mma").is_none();
                assert!(seen.insert((row.id, is_cpu)), "{} stands twice", row.id);
                assert!(registry.get(row.id).is_none(), "{}", row.id);
                let said = row.id.rsplit_once('-').map_or(row.id, |(stem, _)| stem);
                assert!(framework.source.contains(said), "{} is in no worker", row.id);
            }
        }
    }

    #[test]
    fn a_precision_that_a_row_has_not_is_declined_by_name() {
        let product = Problem::Matmul(Matmul::new(2, 2, 2));
        let bf16 = Case::new(product, Precision::BF16);
        assert_eq!(unless(&bf16, &[Precision::F32]).unwrap(), "computes f32, not bf16");
        assert_eq!(unless(&bf16, &[Precision::F32, Precision::BF16]), None);
        let update = Problem::Update(Update { rule: Rule::Adam, params: 4 });
        let mixed = Case::new(update, Rule::Adam.precision(Precision::BF16));
        assert!(f32_state(&mixed).unwrap().contains("bf16"));
        assert_eq!(f32_state(&Case::new(update, Rule::Adam.precision(Precision::F32))), None);
    }
}
