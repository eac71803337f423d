# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts user-mode-linux so that it runs on processors with large register files.

Kernel 6.1 for user mode saves the floating-point and vector registers of its processes with
PTRACE_GETREGSET into a buffer of fixed size.  On a processor with AMX the registers do not fit,
and it panics ("ptrace set fp regs failed").  Where that call fails altogether it falls back to
PTRACE_GETFPREGS, which handles the SSE registers; so a seccomp filter makes it fail.  Programs in
that kernel must then do without AVX.

usage: launch.py PROGRAM [ARGUMENT...]
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16                          # offsets in struct seccomp_data
SYS_PTRACE, PTRACE_GETREGSET, PTRACE_SETREGSET = 101, 0x4204, 0x4205
REFUSE, ALLOW = 0x00050000 | errno.EIO, 0x7FFF0000

FILTER = [                      # code, jump if true, jump if false, operand
    (LOAD, 0, 0, NUMBER),
    (IF_EQUAL, 0, 4, SYS_PTRACE),
    (LOAD, 0, 0, FIRST_ARGUMENT),
    (IF_EQUAL, 1, 0, PTRACE_GETREGSET),
    (IF_EQUAL, 0, 1, PTRACE_SETREGSET),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def main():
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *op) for op in FILTER))
    program = Program(len(FILTER), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        sys.exit(f"{sys.argv[0]}: no filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
