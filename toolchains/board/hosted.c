/* A PC as the board: stdio. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn_board.h"

enum { FILES = 4, EXIT_TOO_MANY_FILES = 71 };

int main(void) { board_exit(nn_main()); }

void board_write(const char *text, size_t n) {
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

/* A file is opened once and stays open until the exit. */
static FILE *file_of(const char *file, const char *mode) {
    static struct {
        const char *file;
        FILE *stream;
    } open_files[FILES];
    for (int i = 0; i < FILES; i++) {
        if (open_files[i].file == NULL) {
            open_files[i].file = file;
            open_files[i].stream = fopen(file, mode);
            return open_files[i].stream;
        }
        if (strcmp(open_files[i].file, file) == 0) {
            return open_files[i].stream;
        }
    }
    board_exit(EXIT_TOO_MANY_FILES);
}

int board_read(const char *file, size_t offset, void *buffer, size_t n) {
    FILE *stream = file_of(file, "rb");
    if (stream == NULL || fseek(stream, (long)offset, SEEK_SET) != 0) {
        return 0;
    }
    return (int)fread(buffer, 1, n, stream);
}

int board_append(const char *file, const void *data, size_t n) {
    FILE *stream = file_of(file, "wb");
    return stream == NULL ? 0 : (int)fwrite(data, 1, n, stream);
}

uint32_t board_ticks(void) { return 0; }

size_t board_stack_peak(void) { return 0; }

void board_exit(int code) { exit(code); }
