import { ApiProperty } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';

export class RenameClientBody {
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'Forecast importer (Berlin)' })
  @IsString()
  @MaxLength(1000)
  name!: string;
}
