/* The model stream, as it is, in flash. MODEL_FILE: its path, from the Makefile. */
        .section .model, "a"
        .globl  model_stream
        .globl  model_stream_end
        .balign 4
model_stream:
        .incbin MODEL_FILE
model_stream_end:
