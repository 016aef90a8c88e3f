/*
 * payload/sweep.S - a guest of three disk sectors that dirties memory and beats
 *
 * Where an emulator loses a Linux kernel's stores, or a host cannot boot one, this runs: 32-bit code without paging,
 * the timer interrupt, the serial port, and nothing else. A thousand times a second it stamps the next pages of its
 * memory, and every few ticks it prints a beat. Each page is checked for the stamp of the sweep before when it gets a
 * new one, so a page lost in a migration is found within one sweep. Lines, all numbers hexadecimal:
 *
 *      beat NUMBER
 *      sweep NUMBER lost PAGES         when a sweep ends (the count since start)
 *      check NUMBER lost PAGES         all pages compared, asked for by sending 'v'
 *
 * The bytes at `config` are patched by lab/payload.py. Registers that live through the main loop:
 * ebx = address of the next page, ebp = sweeps completed, and so the stamp of the pages not yet reached.
 */
        .set BASE, 0x200000             /* the memory that is swept starts here */
        .set PAGE, 4096
        .set MIX, 0x9e3779b1
        .set IDT, 0x1000
        .set COM1, 0x3f8
        .set TICK, 1193                 /* of the 1.193182 MHz timer: one millisecond */

        .code16
        .globl start
start:
        cli
        cld
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $start, %sp
        movw $0x0202, %ax               /* the rest of us: two more sectors of the disk dl */
        movw $2, %cx
        movb $0, %dh
        movw $start + 512, %bx
        int $0x13
        inb $0x92, %al                  /* the A20 line, where the firmware left it closed */
        orb $2, %al
        outb %al, $0x92
        lgdtl gdt_where
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        ljmpl $8, $flat


        .balign 4
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_where:
        .word gdt_where - gdt - 1
        .long gdt
idt_where:
        .word 0x30 * 8 - 1
        .long IDT

devices:
        .macro out port, value
        .word \port
        .byte \value
        .endm
        out 0x20, 0x11
        out 0x21, 0x20
        out 0x21, 0x04
        out 0x21, 0x01
        out 0x21, 0xfe
        out 0xa1, 0xff
        out 0x43, 0x34
        out 0x40, TICK & 0xff
        out 0x40, TICK >> 8
        out COM1 + 3, 0x83
        out COM1, 1
        out COM1 + 1, 0
        out COM1 + 3, 3
        out COM1 + 2, 7
devices_end:

beat:   .ascii "beat "
beat_digits:
        .ascii "00000000\n"
beat_end:
sweep:  .ascii "sweep "
sweep_digits:
        .ascii "00000000 lost "
lost_digits:
        .ascii "00000000\n"
sweep_end:

left:   .word 1
beats:  .long 0
lost:   .long 0
owed:   .long 0
end:    .long 0

        .org 510
        .word 0xaa55

        .code32
flat:
        movw $16, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %fs                   /* a segment left over from real mode makes KVM without "unrestricted */
        movw %ax, %gs                   /* guest" interpret every instruction */
        movw %ax, %ss
        movl $start, %esp

        movl $devices, %esi             /* (port, value) pairs: timer, interrupt controller, serial port */
        movl $(devices_end - devices) / 3, %ecx
1:      lodsw
        movw %ax, %dx
        outsb
        loop 1b

        movl $IDT + 0x20 * 8, %edi      /* all 16 interrupts of the controllers go to one handler */
        movl $16, %ecx
1:      movl $0x80000 + on_tick - start + 0x7c00, %eax
        stosl
        movl $0x8e00, %eax
        stosl
        loop 1b
        lidtl idt_where

        movl $BASE, %edi                /* where asked, words that no compressor shrinks */
        movl n_words, %ecx
        movl $MIX, %eax
        jecxz 2f
1:      stosl
        imull $1664525, %eax
        addl $1013904223, %eax
        loop 1b

2:      xorl %ebp, %ebp
        call rewind
        movl n_pages, %ecx
1:      call page_stamp
        addl $PAGE, %ebx
        loop 1b
        call rewind

wait:
        sti
1:      hlt
        jmp 1b

/* Only the hlt above is ever interrupted, so there is nothing to return to: some hosts do not know iret. */
on_tick:
        addl $12, %esp
        movb $0x20, %al
        outb %al, $0x20

        movl owed, %ecx                 /* pages of this tick, in 256ths */
        addl rate, %ecx
        movb %cl, owed
        shrl $8, %ecx
        jecxz 2f
1:      call page_check
        incl %ebp
        call page_stamp
        decl %ebp
        addl $PAGE, %ebx
        cmpl %ebx, end
        loopne 1b
        jne 2f
        movl $'s' | 'w' << 8 | 'e' << 16 | 'e' << 24, %edx
        call report                     /* the rest of this tick's pages is let go */
        incl %ebp
        call rewind

2:      decw left
        jnz 3f
        movw period, %ax
        movw %ax, left
        incl beats
        movl beats, %eax
        movl $beat_digits, %edi
        call hex
        movl $beat, %esi
        movl $beat_end - beat, %ecx
        call say

3:      movw $COM1 + 5, %dx             /* a command? */
        inb %dx, %al
        testb $1, %al
        jz wait
        movb $COM1 & 0xff, %dl
        inb %dx, %al
        cmpb $'v', %al
        jne wait

        pushl %ebx                      /* pages before the cursor carry this sweep's stamp, the others the last */
        pushl lost
        movl $0, lost
        call rewind
        incl %ebp
1:      cmpl %ebx, 4(%esp)
        jne 2f
        decl %ebp
2:      call page_check
        addl $PAGE, %ebx
        cmpl %ebx, end
        jne 1b
        movl $'c' | 'h' << 8 | 'e' << 16 | 'c' << 24, %edx
        call report
        popl lost
        popl %ebx
        jmp wait

/* The stamp of page ebx in sweep ebp, to eax */
page_expect:
        imull $MIX, %ebp, %eax
        xorl %ebx, %eax
        ret

page_stamp:
        call page_expect
        movl %eax, (%ebx)
        ret

page_check:
        call page_expect
        cmpl %eax, (%ebx)
        je 1f
        incl lost
1:      ret

rewind:
        movl n_pages, %eax
        shll $12, %eax
        addl $BASE, %eax
        movl %eax, end
        movl $BASE, %ebx
        ret

/* edx: the first four letters of the line */
report:
        movl %edx, sweep
        cmpb $'c', %dl
        movb $'k', sweep + 4
        je 1f
        movb $'p', sweep + 4
1:      movl %ebp, %eax
        movl $sweep_digits, %edi
        call hex
        movl lost, %eax
        movl $lost_digits, %edi
        call hex
        movl $sweep, %esi
        movl $sweep_end - sweep, %ecx

/* ecx bytes from esi, sixteen at a time: one exit each under KVM */
say:
        movw $COM1 + 5, %dx
1:      inb %dx, %al
        testb $0x20, %al
        jz 1b
        movb $COM1 & 0xff, %dl
        pushl %ecx
        cmpl $16, %ecx
        jb 2f
        movl $16, %ecx
2:      subl %ecx, (%esp)
        rep outsb
        popl %ecx
        testl %ecx, %ecx
        jnz say
        ret

/* eax as eight digits at edi */
hex:
        movl $8, %ecx
1:      roll $4, %eax
        pushl %eax
        andb $15, %al
        cmpb $10, %al
        sbbb $0x69, %al
        das
        orb $0x20, %al
        stosb
        popl %eax
        loop 1b
        ret

        .org 1512
config: .ascii "DRVR"
n_pages: .long 256
rate:   .long 0                         /* pages a tick, in 256ths */
n_words: .long 0                        /* of random contents: slow on hosts that interpret us */
period: .word 1                         /* ticks a beat */
        .org 1536
