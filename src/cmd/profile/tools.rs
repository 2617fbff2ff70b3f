//! NVIDIA's own profilers, which see what only a GPU knows: their command lines for one kernel on one case, ready to be pasted.

use crate::kernels::Kernel;
use crate::kernels::cuda::Architecture;
use crate::ops::{Case, Problem};
use crate::projection::gap;

/// The command lines, one of them a line.
pub fn commands(kernel: &dyn Kernel, case: &Case, device: &str) -> String {
    // What is launched has the same names everywhere; a library's are its own.
    let entries = kernel.as_cuda().map(|row| {
        let plan = (row.plan)(case, Architecture::specific(90));
        let entries: Vec<&str> = plan.steps.iter().map(|step| step.entry).collect();
        format!("--kernel-name 'regex:^({})$' ", entries.join("|"))
    });
    let entries = entries.unwrap_or_default();
    let kernel = kernel.id().0;
    let stem = kernel.replace('/', "-");
    let options = match case.problem {
        // No option gives a probe its size.
        Problem::Peak(_) => format!(" --op peak --device {device}"),
        _ => gap::options(case, device),
    };
    let verify = format!("scalemark verify{options} --kernel {kernel}");
    let run = format!("scalemark run{options} --kernel {kernel} --no-peaks --processes 1");
    let list = if options.contains("CASES.csv") {
        format!("\nwith this as CASES.csv:\n{}\n{}\n", gap::HEADER, gap::row(case))
    } else {
        String::new()
    };
    format!(
        "what the counters of the GPU say of each kernel (may need root):\n  \
         ncu --target-processes all --set full {entries}--launch-count 4 -o {stem} {verify}\n\n\
         a time line of kernels, copies and gaps between launches, with ranges named by this program:\n  \
         nsys profile --trace cuda,nvtx -o {stem} {run}\n  \
         nsys stats --report cuda_gpu_kern_sum,cuda_gpu_mem_time_sum,nvtx_sum {stem}.nsys-rep\n\n\
         races and accesses out of bounds:\n  \
         compute-sanitizer --target-processes all --tool memcheck {verify}\n  \
         compute-sanitizer --target-processes all --tool racecheck {verify}\n{list}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Registry;
    use crate::ops::{Matmul, Precision, Transpose};

    #[test]
    fn the_commands_name_the_kernels_entries_and_the_very_case() {
        let registry = Registry::cuda();
        let row = registry.get("matmul/mma").unwrap();
        let product = Matmul { transpose: Transpose::Nt, ..Matmul::new(512, 256, 128) };
        let case = Case::new(Problem::Matmul(product), Precision::BF16);
        let text = commands(row, &case, "cuda:1");
        assert!(text.contains("--kernel-name 'regex:^(matmul_mma)$'"), "{text}");
        let options =
            "-m 512 -n 256 -k 128 --transpose nt --dtype bf16 --device cuda:1 --kernel matmul/mma";
        assert!(text.contains(&format!("scalemark verify {options}\n")), "{text}");
        assert!(text.contains(&format!("scalemark run {options} --no-peaks")), "{text}");
        assert!(!text.contains("CASES.csv"), "{text}");
        let library = commands(registry.get("matmul/cublaslt").unwrap(), &case, "cuda:1");
        assert!(library.contains("--set full --launch-count 4 -o matmul-cublaslt "), "{library}");
    }
}
