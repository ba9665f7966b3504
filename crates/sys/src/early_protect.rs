//! [`crate::protect`]'s usual way, before the C library has started.
//!
//! A program that is going to execute itself again need not first set up a
//! heap, find out about the processor's caches and apply relocations: that is
//! about a third of what executing it costs. So the linker enters here
//! (`-e caisson_start`, see the build script of `caisson-native`).
//!
//! If one of the arguments is `create`, `run` or `exec`, and the mount that
//! the program came from is not read-only, this makes a detached read-only
//! copy of that mount and executes the program from there. Whatever fails, the
//! C library's `_start` goes on as if nothing had been, and
//! [`crate::protect::protect`] decides.

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
core::arch::global_asm!(
    r#"
    .section .text.caisson_start, "ax", @progbits
    .globl caisson_start
    .type caisson_start, @function
caisson_start:
    // The kernel's stack: argc, argv, NULL, envp, NULL, auxv. rdx is _start's.
    mov r12, rsp
    mov r13, rdx
    sub rsp, 256
    and rsp, -16

    // Strings end below the stack's top with the program's path and a null
    // word after it, so eight bytes of any argument can be read.
    lea rsi, [r12 + 8]
2:
    mov rdi, [rsi]
    test rdi, rdi
    jz 9f
    add rsi, 8
    mov rax, [rdi]
    cmp eax, {run}
    je 3f
    cmp eax, {exec}
    jne 4f
    cmp byte ptr [rdi + 4], 0
    je 3f
4:
    mov rcx, {create}
    shl rax, 8
    shl rcx, 8
    cmp rax, rcx
    jne 2b

3:  // statfs("/proc/self/exe"): ST_RDONLY tells what the mount forbids.
    mov eax, 137
    lea rdi, [rip + 7f]
    mov rsi, rsp
    syscall
    test rax, rax
    js 9f
    test byte ptr [rsp + 80], 1
    jnz 9f

    // open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | O_CLOEXEC)
    mov eax, 428
    mov rdi, -100
    lea rsi, [rip + 7f]
    mov edx, 0x80001
    syscall
    test rax, rax
    js 9f
    mov r14, rax

    // mount_setattr(fd, "", AT_EMPTY_PATH, attr_set = MOUNT_ATTR_RDONLY, 32)
    mov qword ptr [rsp], 1
    mov qword ptr [rsp + 8], 0
    mov qword ptr [rsp + 16], 0
    mov qword ptr [rsp + 24], 0
    mov eax, 442
    mov rdi, r14
    lea rsi, [rip + 8f]
    mov edx, 0x1000
    mov r10, rsp
    mov r8d, 32
    syscall
    test rax, rax
    js 5f

    // execveat(fd, "", argv, envp, AT_EMPTY_PATH); envp follows argv's NULL.
    mov eax, 322
    mov rdi, r14
    lea rsi, [rip + 8f]
    lea rdx, [r12 + 8]
    mov rcx, [r12]
    lea r10, [r12 + 8 * rcx + 16]
    mov r8d, 0x1000
    syscall

5:  // close(fd)
    mov eax, 3
    mov rdi, r14
    syscall

9:
    mov rsp, r12
    mov rdx, r13
    xor ebp, ebp
    jmp _start

7:  .asciz "/proc/self/exe"
8:  .asciz ""
    .size caisson_start, . - caisson_start
"#,
    run = const u32::from_le_bytes(*b"run\0"),
    exec = const u32::from_le_bytes(*b"exec"),
    create = const i64::from_le_bytes(*b"create\0\0"),
);
