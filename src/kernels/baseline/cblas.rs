//! BLAS libraries through CBLAS, loaded at run time: OpenBLAS, BLIS, Intel MKL.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use libloading::Library as Loaded;

use super::crates::products;
use super::find::{Library, find};
use crate::device::pool::affinity;
use crate::error::{Error, Result};
use crate::kernels::{Args, Body, CpuKernel};
use crate::ops::{Case, Matmul, Precision, Problem, Transpose};

/// OpenBLAS, from the system or from the wheel that scipy uses (whose symbols carry a prefix).
pub static OPENBLAS: CpuKernel = CpuKernel {
    id: "matmul/openblas",
    about: "OpenBLAS through CBLAS, loaded at run time",
    provider: "openblas",
    refuses: |_, case| refuses(&LIBRARIES[0], case),
    build: |_, case, _| build(&LIBRARIES[0], case),
    prologue: None,
};

/// BLIS.
pub static BLIS: CpuKernel = CpuKernel {
    id: "matmul/blis",
    about: "BLIS through CBLAS, loaded at run time",
    provider: "blis",
    refuses: |_, case| refuses(&LIBRARIES[1], case),
    build: |_, case, _| build(&LIBRARIES[1], case),
    prologue: None,
};

/// Intel's oneMKL.
pub static MKL: CpuKernel = CpuKernel {
    id: "matmul/mkl",
    about: "Intel oneMKL through CBLAS, loaded at run time",
    provider: "mkl",
    refuses: |_, case| refuses(&LIBRARIES[2], case),
    build: |_, case, _| build(&LIBRARIES[2], case),
    prologue: None,
};

static LIBRARIES: [Library; 3] = [
    Library {
        provider: "openblas",
        variable: "SCALEMARK_OPENBLAS",
        files: &["libopenblas.so.0", "libopenblas.so", "libscipy_openblas.so"],
        wheels: &["scipy_openblas32/lib"],
        hint: "OpenBLAS is not on this machine; install it with `pip install scipy-openblas32` or \
               `apt install libopenblas0-pthread`, or set SCALEMARK_OPENBLAS to the library's path",
    },
    Library {
        provider: "blis",
        variable: "SCALEMARK_BLIS",
        files: &["libblis.so.4", "libblis.so.5", "libblis.so"],
        wheels: &[],
        hint: "BLIS is not on this machine; install it with `apt install libblis4-pthread`, or set SCALEMARK_BLIS to the \
               library's path",
    },
    Library {
        provider: "mkl",
        variable: "SCALEMARK_MKL",
        files: &["libmkl_rt.so.2", "libmkl_rt.so.3", "libmkl_rt.so"],
        wheels: &["."],
        hint: "Intel MKL is not on this machine; install it with `pip install mkl`, or set SCALEMARK_MKL to the path of \
               libmkl_rt",
    },
];

fn refuses(library: &Library, case: &Case) -> Option<Cow<'static, str>> {
    static FOUND: OnceLock<BTreeMap<&'static str, bool>> = OnceLock::new();
    let found =
        FOUND.get_or_init(|| LIBRARIES.iter().map(|l| (l.provider, find(l).is_some())).collect());
    if !found[library.provider] {
        return Some(library.hint.into());
    }
    if ![Precision::F32, Precision::BF16_F32].contains(&case.precision) {
        return Some(
            format!(
                "CBLAS computes f32 and (where built with it) bf16-f32, not {}",
                case.precision
            )
            .into(),
        );
    }
    let Problem::Matmul(p) = case.problem else { return Some("CBLAS computes products".into()) };
    let sizes = [p.m, p.n, p.k].map(|size| c_int::try_from(size).is_err());
    sizes.contains(&true).then(|| "CBLAS with 32-bit integers takes sizes below 2³¹".into())
}

/// `cblas_sgemm` for f32 operands; OpenBLAS's `cblas_sbgemm` and MKL's `cblas_gemm_bf16bf16f32` for bf16 operands, which these
/// declare as 16-bit integers. The result is f32.
type Gemm<T> = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const T,
    c_int,
    *const T,
    c_int,
    f32,
    *mut f32,
    c_int,
);
type SetThreads = unsafe extern "C" fn(c_int);

/// A loaded library and the functions that are used of it.
struct Blas {
    sgemm: Gemm<f32>,
    sbgemm: Option<Gemm<u16>>,
    set_threads: Option<SetThreads>,
    facts: BTreeMap<String, String>,
    /// Keeps the code of the functions above in place; never unloaded.
    _library: Loaded,
}

/// The library of `provider`, loaded once a process.
fn loaded(library: &'static Library) -> Result<&'static Blas> {
    static SLOTS: [OnceLock<std::result::Result<Blas, String>>; 3] = [const { OnceLock::new() }; 3];
    let index =
        LIBRARIES.iter().position(|l| l.provider == library.provider).expect("one of the three");
    SLOTS[index]
        .get_or_init(|| load(library))
        .as_ref()
        .map_err(|reason| Error::Library(reason.clone()))
}

fn load(library: &Library) -> std::result::Result<Blas, String> {
    let path = find(library).ok_or(library.hint)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // SAFETY: running the initializers of a BLAS library, which the user installed for being called.
    let lib = unsafe { Loaded::new(&path) }.map_err(|e| format!("{name} cannot be loaded: {e}"))?;
    /// Finds a symbol by its plain name or with scipy's prefix.
    fn symbol<T: Copy>(lib: &Loaded, names: &[&str]) -> Option<T> {
        let all = names.iter().flat_map(|name| [format!("{name}\0"), format!("scipy_{name}\0")]);
        // SAFETY: `T` is the function's type as its library documents it; the pointer lives as long as the library, which
        // is never unloaded.
        all.into_iter()
            .find_map(|name| unsafe { lib.get::<T>(name.as_bytes()) }.ok().map(|symbol| *symbol))
    }
    let sgemm =
        symbol(&lib, &["cblas_sgemm"]).ok_or_else(|| format!("{name} has no cblas_sgemm"))?;
    let sbgemm = symbol(&lib, &["cblas_sbgemm", "cblas_gemm_bf16bf16f32"]);
    let set_threads = symbol(
        &lib,
        &["openblas_set_num_threads", "MKL_Set_Num_Threads", "bli_thread_set_num_threads"],
    );
    let mut facts = BTreeMap::from([("library".to_owned(), name)]);
    type Text = unsafe extern "C" fn() -> *const c_char;
    for (fact, names) in [
        ("config", &["openblas_get_config", "bli_info_get_version_str"][..]),
        ("core", &["openblas_get_corename"][..]),
    ] {
        if let Some(text) = symbol::<Text>(&lib, names) {
            // SAFETY: these functions take nothing and return a static C string.
            let text = unsafe { CStr::from_ptr(text()) };
            facts.insert(fact.into(), text.to_string_lossy().trim().to_owned());
        }
    }
    for (variable, _) in std::env::vars().filter(|(name, _)| {
        ["OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE", "MKL_ENABLE_INSTRUCTIONS"].contains(&name.as_str())
    }) {
        facts.insert(variable.clone(), std::env::var(&variable).unwrap_or_default());
    }
    Ok(Blas { sgemm, sbgemm, set_threads, facts, _library: lib })
}

/// Loads the library of `provider` before the calling thread is pinned, and says which one it is.
pub fn facts(provider: &str) -> BTreeMap<String, String> {
    affinity::allowed();
    let library = LIBRARIES.iter().find(|l| l.provider == provider).expect("one of the three");
    match loaded(library) {
        Ok(blas) => blas.facts.clone(),
        Err(reason) => BTreeMap::from([("missing".to_owned(), reason.to_string())]),
    }
}

fn build(library: &'static Library, case: &Case) -> Result<Body> {
    let Problem::Matmul(p) = case.problem else {
        unreachable!("`refuses` lets only products through")
    };
    let blas = loaded(library)?;
    if let Some(set_threads) = blas.set_threads {
        // SAFETY: takes a positive number of threads.
        unsafe { set_threads(case.threads as c_int) };
    } else if case.threads > 1 {
        return Err(Error::Library(format!(
            "{} has no function that sets its threads",
            library.provider
        )));
    }
    if case.precision == Precision::F32 {
        return Ok(body(blas.sgemm, p));
    }
    let sbgemm = blas.sbgemm.ok_or_else(|| {
        Error::Library(format!("this build of {} has no bf16 product", library.provider))
    })?;
    Ok(body(sbgemm, p))
}

/// A launch of all products of a case through `gemm`, whose operands are `T` in memory.
fn body<T: bytemuck::Pod>(gemm: Gemm<T>, p: Matmul) -> Body {
    const ROW_MAJOR: c_int = 101;
    const PLAIN: c_int = 111;
    const TRANSPOSED: c_int = 112;
    let (a_op, lda) = if p.transpose == Transpose::Tn { (TRANSPOSED, p.m) } else { (PLAIN, p.k) };
    let (b_op, ldb) = if p.transpose == Transpose::Nt { (TRANSPOSED, p.k) } else { (PLAIN, p.n) };
    let int = |size: usize| size.max(1) as c_int;
    let (lda, ldb, ldc) = (int(lda), int(ldb), int(p.n));
    let products = products(&p);
    Box::new(move |args: &mut Args<'_>| {
        let (a, b) = (args.read[0].as_ref::<T>(), args.read[1].as_ref::<T>());
        let c = args.written[0].as_mut::<f32>();
        for &(rows, a_at, b_at, c_at) in &products {
            let c = &mut c[c_at..c_at + rows * p.n];
            if p.k == 0 {
                c.fill(0.0);
            }
            if c.is_empty() || p.k == 0 {
                continue;
            }
            let (a, b) = (&a[a_at..a_at + rows * p.k], &b[b_at..b_at + p.k * p.n]);
            let (m, n, k) = (rows as c_int, p.n as c_int, p.k as c_int);
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            // SAFETY: the slices hold rows × k, k × n and rows × n elements at these leading dimensions.
            unsafe { gemm(ROW_MAJOR, a_op, b_op, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc) };
        }
    })
}
