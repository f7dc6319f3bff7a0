/* Compiled once for each NCD_FIRMWARE. */
#include "opened.h"
#include "trellis.h"

static ncd_status open_tensor(const uint8_t *blob, size_t size, uint32_t index, ncd_tensor *t)
{
    ncd_model m;
    const ncd_status status = ncd_model_open(&m, blob, size);
    return status == NCD_OK ? ncd_tensor_open(&m, index, t) : status;
}

int NCD_FIRMWARE_NAME(ncd_opened)(const uint8_t *blob, size_t size, uint32_t index, ncd_opened *out)
{
    uint32_t i;
    ncd_tensor t;
    const ncd_status status = open_tensor(blob, size, index, &t);
    if (status != NCD_OK)
        return status;
    NCD_FILL(out, 0, sizeof *out);
#define NUMBER(name) out->name = t.name;
    NCD_OPENED_NUMBERS(NUMBER)
#undef NUMBER
#define PLACE(name) out->name = t.name ? (int64_t)(t.name - blob) : -1;
    NCD_OPENED_PLACES(PLACE)
#undef PLACE
    for (i = 0; i < NCD_OPENED_TABLES; ++i)
        out->tables[i] = i < NCD_TABLES && t.tables[i] ? (int64_t)(t.tables[i] - blob) : -1;
    out->workspace = (uint32_t)ncd_tensor_workspace(&t);
    if (t.codec == NCD_CODEC_TRELLIS && !t.zeros && t.tables[0]) {
        ncd_cursor c;
        ncd_trellis_model f;
        c.p = t.tables[0];
        c.end = t.model_end;
        if (ncd_trellis_model_read(&c, &f) == NCD_OK) /* as it was when the tensor was opened */
            out->kind = ncd_trellis_model_kind(&f, t.mode == NCD_MODE_WIDE);
    }
    return NCD_OK;
}

int NCD_FIRMWARE_NAME(ncd_workspace)(const uint8_t *blob, size_t size, uint32_t index, uint32_t *workspace, size_t room)
{
    ncd_tensor t;
    ncd_status status = open_tensor(blob, size, index, &t);
    NCD_FILL(workspace, 0, room);
    if (status == NCD_OK)
        status = ncd_tensor_prepare(&t, workspace, room);
    if (room >= sizeof *workspace)
        *workspace = 0; /* it tells of addresses */
    return status;
}
