// SPDX-License-Identifier: MIT
// The C interface from Rust, declared by hand: decode of one row over bf16 keys, against loops.
use std::ffi::{c_char, c_int, c_void, CStr};

#[repr(C)]
#[derive(Clone, Copy)]
struct Tensor {
    data: *mut c_void,
    element: i32,
    size: [i64; 4],
    stride: [i64; 3],
}

#[repr(C)]
struct Executor {
    host: *mut c_void,
    workers: i32,
    run: Option<extern "C" fn(*mut c_void, i64, extern "C" fn(*mut c_void, i64, i32), *mut c_void)>,
}

#[repr(C)]
struct Call {
    struct_bytes: usize,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    normalizer: i32,
    scale: f32,
    causal: i32,
    window: i64,
    lengths: *const i64,
    lse: *mut f32,
    workspace: *mut c_void,
    workspace_bytes: usize,
    executor: Executor,
}

#[link(name = "attention")]
extern "C" {
    fn attention_run(call: *const Call, error: *mut c_char, error_bytes: usize) -> c_int;
    fn attention_arch() -> *const c_char;
}

fn bf16(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

fn main() {
    const HEADS: usize = 2;
    const KEYS: usize = 300;
    const DIM: usize = 16;
    let number = |i: usize| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0; // of few bits: bf16 holds it
    let mut q: Vec<f32> = (0..HEADS * DIM).map(number).collect();
    let mut k: Vec<u16> = (0..KEYS * DIM).map(|i| bf16(number(i * 3 + 5))).collect();
    let mut v: Vec<u16> = (0..KEYS * DIM).map(|i| bf16(number(i * 5 + 1))).collect();
    let mut out = vec![0f32; HEADS * DIM];
    let mut lse = vec![0f32; HEADS];
    let of = |data: *mut c_void, element, heads: usize, tokens: usize| Tensor {
        data,
        element,
        size: [1, heads as i64, tokens as i64, DIM as i64],
        stride: [0, (tokens * DIM) as i64, DIM as i64],
    };
    let call = Call {
        struct_bytes: std::mem::size_of::<Call>(),
        q: of(q.as_mut_ptr().cast(), 0, HEADS, 1),
        k: of(k.as_mut_ptr().cast(), 1, 1, KEYS),
        v: of(v.as_mut_ptr().cast(), 1, 1, KEYS),
        out: of(out.as_mut_ptr().cast(), 0, HEADS, 1),
        normalizer: 0,
        scale: 0.0,
        causal: 1,
        window: 0,
        lengths: std::ptr::null(),
        lse: lse.as_mut_ptr(),
        workspace: std::ptr::null_mut(),
        workspace_bytes: 0,
        executor: Executor { host: std::ptr::null_mut(), workers: 0, run: None },
    };
    let mut error = [0 as c_char; 256];
    let failed = unsafe { attention_run(&call, error.as_mut_ptr(), error.len()) };
    assert!(failed == 0, "{:?}", unsafe { CStr::from_ptr(error.as_ptr()) });

    let float = |x: u16| f32::from_bits((x as u32) << 16) as f64;
    let mut worst = 0f64;
    for h in 0..HEADS {
        let mut mass = 0f64;
        let mut o = [0f64; DIM];
        for j in 0..KEYS {
            let s: f64 = (0..DIM).map(|c| q[h * DIM + c] as f64 * float(k[j * DIM + c])).sum::<f64>() / 4.0;
            mass += s.exp();
            for c in 0..DIM {
                o[c] += s.exp() * float(v[j * DIM + c]);
            }
        }
        worst = worst.max((mass.ln() - lse[h] as f64).abs());
        for c in 0..DIM {
            worst = worst.max((o[c] / mass - out[h * DIM + c] as f64).abs());
        }
    }
    println!("kernels for {}: error {:.1e}", unsafe { CStr::from_ptr(attention_arch()) }.to_str().unwrap(), worst);
    assert!(worst < 1e-5);
}
