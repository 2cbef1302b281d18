/* Reset of a Cortex-M4 or -M7: .data, .bss, the FPU, then entry. */
.syntax unified
.thumb

.section .vectors, "a"
    .word _estack
    .word reset
    .word halt, halt, halt, halt, halt
    .word 0, 0, 0, 0
    .word halt, halt, 0, halt, halt

.text
.thumb_func
.global reset
reset:
    ldr r0, =_sdata
    ldr r1, =_edata
    ldr r2, =_sidata
1:  cmp r0, r1
    beq 2f
    ldr r3, [r2], #4
    str r3, [r0], #4
    b 1b
2:  ldr r0, =_sbss
    ldr r1, =_ebss
    movs r3, #0
3:  cmp r0, r1
    beq 4f
    str r3, [r0], #4
    b 3b
4:  ldr r0, =0xE000ED88
    ldr r1, [r0]
    orr r1, r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    bl entry

.thumb_func
.global halt
halt:
    b halt
