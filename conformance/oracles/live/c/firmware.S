# SPDX-License-Identifier: GPL-2.0-only
# The firmware of the machine in Bochs: it reads a kernel and an initrd from the disk, and jumps to the kernel.
#
# This is the last page of a ROM of 64 KiB below 4 GiB, where a processor starts after a reset. The ROM begins
# with a table of what is read; see firmware.py. The kernel is entered as PVH has it: in protected mode, with
# the address of its start info in ebx.

	.set	TABLE, 0xffff0000
	.set	DATA, 0x1f0
	.set	COUNT, 0x1f2
	.set	DEVICE, 0x1f6
	.set	STATUS, 0x1f7
	.set	FIRST_DISK, 0xe0
	.set	READ_SECTORS_EXT, 0x24
	.set	MOST, 0x8000		# Sectors of one command.

	.code16
	.globl	_start
_start:
	cli
	lgdtl	%cs:(gdtr - _start + 0xf000)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $protected

	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x7000, %esp
	cld
	xorl	%ebp, %ebp		# The next sector of the disk.
	movl	$TABLE, %esi
next_entry:
	movl	(%esi), %ebx		# Sectors left of this entry.
	movl	4(%esi), %edi		# Where they go.
	addl	$8, %esi
	testl	%ebx, %ebx
	jz	enter_kernel
next_command:
	movl	%ebx, %ecx
	cmpl	$MOST, %ecx
	jbe	command
	movl	$MOST, %ecx
command:
	subl	%ecx, %ebx
	movw	$DEVICE, %dx
	movb	$FIRST_DISK, %al
	outb	%al, %dx
	# Each register takes two bytes, the high one first: count, and the sector's number in three registers.
	movw	$COUNT, %dx
	movb	%ch, %al
	outb	%al, %dx
	incw	%dx
	movl	%ebp, %eax
	shrl	$24, %eax
	outb	%al, %dx
	incw	%dx
	xorb	%al, %al
	outb	%al, %dx
	incw	%dx
	outb	%al, %dx
	movw	$COUNT, %dx
	movb	%cl, %al
	outb	%al, %dx
	movl	%ebp, %eax
	incw	%dx
	outb	%al, %dx
	incw	%dx
	shrl	$8, %eax
	outb	%al, %dx
	incw	%dx
	shrl	$8, %eax
	outb	%al, %dx
	movw	$STATUS, %dx
	movb	$READ_SECTORS_EXT, %al
	outb	%al, %dx
	addl	%ecx, %ebp
next_sector:
	movw	$STATUS, %dx
	inb	%dx, %al
	andb	$0x88, %al		# Busy, data request.
	cmpb	$0x08, %al
	jne	next_sector
	movw	$DATA, %dx
	pushl	%ecx
	movl	$128, %ecx
	rep insl
	popl	%ecx
	loop	next_sector
	testl	%ebx, %ebx
	jnz	next_command
	jmp	next_entry

	# The end of the table: 0, the kernel's entry, the address of the start info.
enter_kernel:
	movl	(%esi), %ebx
	jmp	*%edi

	.balign	8
gdt:	.quad	0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:	.word	23
	.long	gdt

	.org	_start + 0xff0
	.code16
	jmp	_start
	.org	_start + 0x1000
