/* Console, files and exit through Arm's semihosting (also RISC-V's): an emulator's or a debugger's host does the work. */
#include <stdbool.h>

#include "nn_board.h"

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_SEEK = 0x0A, SYS_EXIT_EXTENDED = 0x20 };
enum { MODE_RB = 1, MODE_W = 4, MODE_WB = 5 };
enum { APPLICATION_EXIT = 0x20026, FILES = 4, EXIT_TOO_MANY_FILES = 71 };

/* One request; the block holds the operation's arguments as words. Returns the host's answer. */
#if defined(__riscv)
int32_t board_request(uint32_t operation, const void *block);
/* The three instructions may not be compressed, nor may they straddle a page. */
__asm__(".section .text.board_request, \"ax\"\n"
        ".option push\n"
        ".option norvc\n"
        ".balign 16\n"
        "board_request:\n"
        "    slli zero, zero, 0x1f\n"
        "    ebreak\n"
        "    srai zero, zero, 7\n"
        "    ret\n"
        ".option pop\n"
        ".text\n");
#else
static int32_t board_request(uint32_t operation, const void *block) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt #0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}
#endif

static size_t length(const char *text) {
    size_t n = 0;
    while (text[n] != '\0') {
        n++;
    }
    return n;
}

static bool same(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The host's handle of a file (negative: it cannot be opened); a file is opened once and stays open until the exit. */
static int32_t handle_of(const char *file, uint32_t mode) {
    static struct {
        const char *file;
        int32_t handle;
    } open_files[FILES];
    for (int i = 0; i < FILES; i++) {
        if (open_files[i].file == NULL) {
            const uintptr_t block[] = {(uintptr_t)file, mode, length(file)};
            open_files[i].handle = board_request(SYS_OPEN, block);
            open_files[i].file = file;
            return open_files[i].handle;
        }
        if (same(open_files[i].file, file)) {
            return open_files[i].handle;
        }
    }
    board_exit(EXIT_TOO_MANY_FILES);
}

static size_t write_all(int32_t handle, const void *data, size_t n) {
    const uintptr_t block[] = {(uintptr_t)handle, (uintptr_t)data, n};
    return n - (size_t)board_request(SYS_WRITE, block); /* the answer is how many were not written */
}

void board_write(const char *text, size_t n) {
    static int32_t next; /* to the console's handle; 0: it is not open */
    if (next == 0) {
        static const char console[] = ":tt";
        const uintptr_t block[] = {(uintptr_t)console, MODE_W, sizeof console - 1};
        next = board_request(SYS_OPEN, block) + 1;
    }
    write_all(next - 1, text, n);
}

int board_read(const char *file, size_t offset, void *buffer, size_t n) {
    const int32_t handle = handle_of(file, MODE_RB);
    const uintptr_t seek[] = {(uintptr_t)handle, offset};
    if (handle < 0 || board_request(SYS_SEEK, seek) != 0) {
        return 0;
    }
    const uintptr_t read[] = {(uintptr_t)handle, (uintptr_t)buffer, n};
    return (int)(n - (size_t)board_request(SYS_READ, read)); /* the answer is how many were not read */
}

int board_append(const char *file, const void *data, size_t n) {
    const int32_t handle = handle_of(file, MODE_WB);
    return handle < 0 ? 0 : (int)write_all(handle, data, n);
}

void board_exit(int code) {
    const uintptr_t block[] = {APPLICATION_EXIT, (uintptr_t)code};
    board_request(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
